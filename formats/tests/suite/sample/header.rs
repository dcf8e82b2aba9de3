//! Headers as rpm's database keeps them, sealed or not.

/// A value of one of the types that are read.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Bytes(Vec<u8>),
    Short(Vec<u16>),
    Number(Vec<u32>),
    Long(Vec<u64>),
    Text(&'static str),
    Texts(Vec<&'static str>),
}

impl Value {
    fn kind(&self) -> u32 {
        match self {
            Self::Bytes(_) => 7,
            Self::Short(_) => 3,
            Self::Number(_) => 4,
            Self::Long(_) => 5,
            Self::Text(_) => 6,
            Self::Texts(_) => 8,
        }
    }

    fn count(&self) -> u32 {
        let count = match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Short(numbers) => numbers.len(),
            Self::Number(numbers) => numbers.len(),
            Self::Long(numbers) => numbers.len(),
            Self::Text(_) => 1,
            Self::Texts(texts) => texts.len(),
        };
        count as u32
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Short(numbers) => numbers.iter().flat_map(|number| number.to_be_bytes()).collect(),
            Self::Number(numbers) => numbers.iter().flat_map(|number| number.to_be_bytes()).collect(),
            Self::Long(numbers) => numbers.iter().flat_map(|number| number.to_be_bytes()).collect(),
            Self::Text(text) => [text.as_bytes(), b"\0"].concat(),
            Self::Texts(texts) => texts.iter().flat_map(|text| [text.as_bytes(), b"\0"].concat()).collect(),
        }
    }
}

/// A header in the making: what it is sealed with, and what was added at installation.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeaderSample {
    sealed: Vec<(u32, Value)>,
    added: Vec<(u32, Value)>,
    is_unsealed: bool,
}

impl HeaderSample {
    /// A package of this name with regular files at these folders and names, in the order of both.
    pub(crate) fn package(name: &'static str, folders: &[&'static str], files: &[(u32, &'static str)]) -> Self {
        let count = files.len();
        Self::default()
            .with(1000, Value::Text(name))
            .with(1001, Value::Text("1"))
            .with(1002, Value::Text("2"))
            .with(1030, Value::Short(vec![0o100_755; count]))
            .with(1116, Value::Number(files.iter().map(|(folder, _)| *folder).collect()))
            .with(1117, Value::Texts(files.iter().map(|(_, name)| *name).collect()))
            .with(1118, Value::Texts(folders.to_vec()))
    }

    /// Puts a value in, or in the place of the one that is there.
    pub(crate) fn with(mut self, tag: u32, value: Value) -> Self {
        self.sealed.retain(|(known, _)| *known != tag);
        self.sealed.push((tag, value));
        self
    }

    /// Adds a value behind the sealed part.
    pub(crate) fn added(mut self, tag: u32, value: Value) -> Self {
        self.added.push((tag, value));
        self
    }

    /// Without a sealed part, as old packages are.
    pub(crate) fn unsealed(mut self) -> Self {
        self.is_unsealed = true;
        self
    }

    pub(crate) fn blob(&self) -> Vec<u8> {
        let (mut index, mut data) = (Vec::new(), Vec::new());
        let put = |index: &mut Vec<u8>, data: &mut Vec<u8>, (tag, value): &(u32, Value)| {
            while !data.len().is_multiple_of(8) {
                data.push(0);
            }
            index.extend([*tag, value.kind(), data.len() as u32, value.count()].map(u32::to_be_bytes).concat());
            data.extend(value.data());
        };
        self.sealed.iter().for_each(|entry| put(&mut index, &mut data, entry));
        if !self.is_unsealed {
            let entry = [63, 7, data.len() as u32, 16].map(u32::to_be_bytes).concat();
            index.splice(..0, entry);
            data.extend([63, 7, (index.len() as u32).wrapping_neg(), 16].map(u32::to_be_bytes).concat());
        }
        self.added.iter().for_each(|entry| put(&mut index, &mut data, entry));
        let sizes = [(index.len() / 16) as u32, data.len() as u32].map(u32::to_be_bytes).concat();
        [sizes, index, data].concat()
    }
}
