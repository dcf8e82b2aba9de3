//! Zip archives of empty members.

#[derive(Debug, Clone, Default)]
pub(crate) struct ZipSample {
    pub(crate) before: Vec<u8>,
    pub(crate) members: Vec<Vec<u8>>,
    pub(crate) comment: Vec<u8>,
    /// Sizes stand in the zip64 records only.
    pub(crate) zip64: bool,
}

impl ZipSample {
    pub(crate) fn of(members: &[&str]) -> Self {
        Self { members: members.iter().map(|name| name.as_bytes().to_vec()).collect(), ..Self::default() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = self.before.clone();
        for name in &self.members {
            file.extend(b"PK\x03\x04");
            file.extend([0; 22]);
            file.extend((name.len() as u16).to_le_bytes());
            file.extend([0; 2]);
            file.extend(name);
        }
        let directory_at = file.len() as u64;
        for name in &self.members {
            file.extend(b"PK\x01\x02");
            file.extend([0; 24]);
            file.extend((name.len() as u16).to_le_bytes());
            file.extend([0; 16]);
            file.extend(name);
        }
        let directory_bytes = file.len() as u64 - directory_at;
        let count = self.members.len() as u64;
        if self.zip64 {
            let record_at = file.len() as u64;
            file.extend(b"PK\x06\x06");
            file.extend(44_u64.to_le_bytes());
            file.extend([0; 12]);
            for number in [count, count, directory_bytes, directory_at] {
                file.extend(number.to_le_bytes());
            }
            file.extend(b"PK\x06\x07\0\0\0\0");
            file.extend(record_at.to_le_bytes());
            file.extend([0; 4]);
        }
        let cap = |number: u64, all_ones: u64| if self.zip64 { all_ones } else { number };
        file.extend(b"PK\x05\x06\0\0\0\0");
        file.extend((cap(count, 0xffff) as u16).to_le_bytes());
        file.extend((cap(count, 0xffff) as u16).to_le_bytes());
        file.extend((cap(directory_bytes, 0xffff_ffff) as u32).to_le_bytes());
        // Counted from the archive's own start, as if nothing stood before it.
        file.extend((cap(directory_at - self.before.len() as u64, 0xffff_ffff) as u32).to_le_bytes());
        file.extend((self.comment.len() as u16).to_le_bytes());
        file.extend(&self.comment);
        file
    }
}
