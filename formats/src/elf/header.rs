//! The ELF header as the kernel takes it: the magic, the type and the machine count. The class and byte order bytes in
//! `e_ident` do not: the kernel ignores them, so a file that lies there runs all the same and must be read all the same.

use super::ElfClass;
use crate::source::{Source, Stop};

/// Size of the 64-bit header; the 32-bit one is shorter.
const HEADER_BYTES: usize = 64;

/// Type of a file, from `e_type`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectType {
    Relocatable,
    Executable,
    /// Shared objects and position-independent programs.
    Dynamic,
    Core,
}

/// Where a table of equal entries lies.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub(crate) at: u64,
    pub(crate) entry_bytes: u64,
    pub(crate) count: u64,
}

impl Table {
    /// Offset of the entry, `None` behind the table or behind any possible file.
    pub(crate) fn entry(&self, index: u64) -> Option<u64> {
        if index >= self.count {
            return None;
        }
        self.at.checked_add(index.checked_mul(self.entry_bytes)?)
    }
}

/// Order of the bytes in every number of the file.
#[derive(Clone, Copy)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// The number in up to eight bytes.
    pub(crate) fn number(self, bytes: &[u8]) -> u64 {
        let push = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, push),
            Self::Big => bytes.iter().fold(0, push),
        }
    }
}

/// A header with a type that is one of the four of the standard.
pub(crate) struct Header {
    bytes: [u8; HEADER_BYTES],
    pub(crate) order: ByteOrder,
    pub(crate) object_type: ObjectType,
}

impl Header {
    /// `None` when the kernel and every loader would turn the file away by its magic or type.
    pub(crate) fn read(source: &mut impl Source) -> Result<Option<Self>, Stop> {
        // A program may be shorter than its header: the kernel reads the missing rest as zeros.
        let mut bytes = [0; HEADER_BYTES];
        source.read_at(0, &mut bytes)?;
        if !bytes.starts_with(super::MAGIC) {
            return Ok(None);
        }
        // The types are 1 to 4, so the order shows in which of the two bytes is zero.
        let (order, number) = match [bytes[16], bytes[17]] {
            [number, 0] => (ByteOrder::Little, number),
            [0, number] => (ByteOrder::Big, number),
            _ => return Ok(None),
        };
        let object_type = match number {
            1 => ObjectType::Relocatable,
            2 => ObjectType::Executable,
            3 => ObjectType::Dynamic,
            4 => ObjectType::Core,
            _ => return Ok(None),
        };
        Ok(Some(Self { bytes, order, object_type }))
    }

    /// `e_machine`, the processor the code is for.
    pub(crate) fn machine(&self) -> u16 {
        self.field(18, 2) as u16
    }

    /// The class whose program headers have the entry size a loader insists on. The machine's own class is tried first,
    /// then what the file claims.
    pub(crate) fn class(&self) -> ElfClass {
        let claimed = if self.bytes[4] == 1 { ElfClass::Bits32 } else { ElfClass::Bits64 };
        let first = match self.machine() {
            3 | 20 | 40 => ElfClass::Bits32,   // 386, PowerPC, Arm
            21 | 62 | 183 => ElfClass::Bits64, // PowerPC 64, x86-64 (x32 is the exception), AArch64
            _ => claimed,
        };
        let other = match first {
            ElfClass::Bits32 => ElfClass::Bits64,
            ElfClass::Bits64 => ElfClass::Bits32,
        };
        if self.segments(first).is_none() && self.segments(other).is_some() { other } else { first }
    }

    /// The program headers, `None` unless their entry size is that of the class.
    pub(crate) fn segments(&self, class: ElfClass) -> Option<Table> {
        match class {
            ElfClass::Bits32 => self.table((28, 4), 42, 32),
            ElfClass::Bits64 => self.table((32, 8), 54, 56),
        }
    }

    /// The section headers, `None` unless their entry size is that of the class.
    pub(crate) fn sections(&self, class: ElfClass) -> Option<Table> {
        match class {
            ElfClass::Bits32 => self.table((32, 4), 46, 40),
            ElfClass::Bits64 => self.table((40, 8), 58, 64),
        }
    }

    /// Index of the section that holds the sections' names.
    pub(crate) fn section_names_index(&self, class: ElfClass) -> u64 {
        match class {
            ElfClass::Bits32 => self.field(50, 2),
            ElfClass::Bits64 => self.field(62, 2),
        }
    }

    /// A table whose offset stands at `offset`, its entry size at `entry_size` and the number of entries right behind.
    fn table(&self, offset: (usize, usize), entry_size: usize, expected: u64) -> Option<Table> {
        let entry_bytes = self.field(entry_size, 2);
        (entry_bytes == expected).then(|| Table { at: self.field(offset.0, offset.1), entry_bytes, count: self.field(entry_size + 2, 2) })
    }

    fn field(&self, at: usize, bytes: usize) -> u64 {
        self.order.number(&self.bytes[at..at + bytes])
    }
}
