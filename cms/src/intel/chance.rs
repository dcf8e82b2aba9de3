//! Randomness as a parameter. For jitter only: nothing secret is ever made from it.

/// Where jitter comes from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Chance {
    /// The operating system's random numbers.
    #[default]
    System,
    /// Always this number, for tests.
    Fixed(f64),
}

impl Chance {
    /// A number in 0..1.
    #[must_use]
    pub fn unit(self) -> f64 {
        match self {
            // Without randomness there is no jitter, which costs politeness and nothing else.
            Self::System => getrandom::u32().map_or(0.5, |number| f64::from(number) / (f64::from(u32::MAX) + 1.0)),
            Self::Fixed(number) => number,
        }
    }
}
