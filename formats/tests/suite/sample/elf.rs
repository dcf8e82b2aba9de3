//! ELF files of either class and byte order with the segments and sections the readers look for.

use doorward_formats::ElfClass;

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;

#[derive(Debug, Clone)]
pub(crate) struct ElfSample {
    pub(crate) class: ElfClass,
    pub(crate) is_big_endian: bool,
    /// What `EI_CLASS` and `EI_DATA` say instead of the truth.
    pub(crate) claims: Option<[u8; 2]>,
    pub(crate) machine: u16,
    pub(crate) object_type: u16,
    /// Content of `PT_INTERP`, its NUL included.
    pub(crate) interpreter: Option<Vec<u8>>,
    /// `DT_FLAGS_1` of a dynamic section.
    pub(crate) flags_1: Option<u64>,
    pub(crate) sections: Vec<&'static str>,
    /// Zeros between the program headers and everything else.
    pub(crate) gap: usize,
    pub(crate) trailer: &'static [u8],
}

impl ElfSample {
    /// An x86-64 file of this `e_type` with nothing in it.
    pub(crate) fn new(object_type: u16) -> Self {
        Self {
            class: ElfClass::Bits64,
            is_big_endian: false,
            claims: None,
            machine: 62,
            object_type,
            interpreter: None,
            flags_1: None,
            sections: Vec::new(),
            gap: 0,
            trailer: b"",
        }
    }

    /// A program as a distribution builds it.
    pub(crate) fn program() -> Self {
        Self { interpreter: Some(b"/lib64/ld-linux-x86-64.so.2\0".to_vec()), flags_1: Some(0x0800_0001), ..Self::new(3) }
    }

    pub(crate) fn library() -> Self {
        Self { flags_1: Some(1), ..Self::new(3) }
    }

    pub(crate) fn object(sections: &[&'static str]) -> Self {
        Self { sections: sections.to_vec(), ..Self::new(1) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let word = if self.class == ElfClass::Bits64 { 8 } else { 4 };
        let (header_bytes, segment_bytes, section_bytes) = if word == 8 { (64, 56, 64) } else { (52, 32, 40) };
        let dynamic: Vec<u8> = self.flags_1.map_or(Vec::new(), |flags| {
            // DT_SONAME before, DT_NULL behind.
            [14, 1, 0x6fff_fffb, flags, 0, 0].iter().flat_map(|number| self.number(*number, word)).collect()
        });
        let interpreter = self.interpreter.clone().unwrap_or_default();
        let mut contents = vec![(PT_LOAD, vec![0x90; 16]); 4];
        contents.extend(self.interpreter.is_some().then_some((PT_INTERP, interpreter)));
        contents.extend(self.flags_1.is_some().then_some((PT_DYNAMIC, dynamic)));
        if self.object_type == 1 {
            contents.clear();
        }

        let mut body = vec![0; self.gap];
        let body_at = header_bytes + segment_bytes * contents.len();
        let mut segments = Vec::new();
        for (kind, content) in &contents {
            segments.push((*kind, body_at + body.len(), content.len()));
            body.extend(content);
        }
        let (names_at, names, sections) = (body_at + body.len(), self.names(), self.sections.len() + 2);
        body.extend(&names);
        let sections_at = body_at + body.len();

        let mut file = b"\x7fELF".to_vec();
        file.extend(self.claims.unwrap_or([if word == 8 { 2 } else { 1 }, 1 + u8::from(self.is_big_endian)]));
        file.extend([1, 0]);
        file.extend([0; 8]);
        self.put(&mut file, &[(self.object_type.into(), 2), (self.machine.into(), 2), (1, 4), (0x1000, word)]);
        self.put(&mut file, &[(header_bytes as u64, word), (sections_at as u64, word), (0, 4), (header_bytes as u64, 2)]);
        self.put(&mut file, &[(segment_bytes as u64, 2), (segments.len() as u64, 2)]);
        self.put(&mut file, &[(section_bytes, 2), (sections as u64, 2), (sections as u64 - 1, 2)]);
        for (kind, at, bytes) in segments {
            let (at, bytes) = (at as u64, bytes as u64);
            let flags_in_front = if word == 8 { &[(kind, 4), (5, 4)][..] } else { &[(kind, 4)] };
            self.put(&mut file, flags_in_front);
            self.put(&mut file, &[(at, word), (0, word), (0, word), (bytes, word), (bytes, word)]);
            self.put(&mut file, if word == 8 { &[(1, 8)] } else { &[(5, 4), (1, 4)] });
        }
        file.extend(body);
        let mut name_at = 0;
        for (index, name) in std::iter::once(&"").chain(&self.sections).chain(&[".shstrtab"]).enumerate() {
            let (at, bytes) = if index == sections - 1 { (names_at as u64, names.len() as u64) } else { (0, 0) };
            self.put(&mut file, &[(name_at, 4), (0, 4), (0, word), (0, word), (at, word), (bytes, word)]);
            self.put(&mut file, &[(0, 4), (0, 4), (0, word), (0, word)]);
            name_at += name.len() as u64 + 1;
        }
        file.extend(self.trailer);
        file
    }

    fn names(&self) -> Vec<u8> {
        std::iter::once(&"").chain(&self.sections).chain(&[".shstrtab"]).flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect()
    }

    fn put(&self, file: &mut Vec<u8>, numbers: &[(u64, usize)]) {
        for (number, width) in numbers {
            file.extend(self.number(*number, *width));
        }
    }

    fn number(&self, number: u64, width: usize) -> Vec<u8> {
        if self.is_big_endian { number.to_be_bytes()[8 - width..].to_vec() } else { number.to_le_bytes()[..width].to_vec() }
    }
}
