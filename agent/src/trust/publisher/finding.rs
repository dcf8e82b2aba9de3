//! What was found out about the signatures of one file.

use doorward_policy::{Flaw, PathBytes, PublisherEvidence};

/// The publisher that counts most, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finding {
    /// Whose signature it is.
    pub evidence: Option<PublisherEvidence>,
    /// Why there is no evidence though there is a signature, to be read after "because".
    pub reason: Option<String>,
    /// Microseconds since 1970 until which it holds without another look; `None` for ever.
    pub(super) until: Option<i64>,
}

impl Finding {
    /// Nothing is signed.
    #[must_use]
    pub fn unsigned() -> Self {
        Self::default()
    }

    /// Something is signed, and nobody can be named for it.
    #[must_use]
    pub fn nobody(reason: String) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }

    /// How much it is worth beside others.
    #[must_use]
    pub fn weight(&self) -> u8 {
        match &self.evidence {
            Some(evidence) if evidence.chain_trusted && !evidence.public_authority => 5,
            Some(evidence) if evidence.chain_trusted => 4,
            Some(evidence) if evidence.valid => 3,
            Some(_) => 2,
            None if self.reason.is_some() => 1,
            None => 0,
        }
    }

    /// For people, in one sentence; `None` when nothing is signed.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let Some(evidence) = &self.evidence else {
            return self.reason.as_ref().map(|reason| format!("no evidence, because {reason}"));
        };
        // SECURITY: names stand in certificates anybody can make.
        let name = PathBytes::new(evidence.name.as_bytes());
        Some(match evidence.flaw {
            Some(flaw @ (Flaw::NoAnchor | Flaw::BrokenChain)) => format!("{name}, but {}", flaw.finding()),
            Some(flaw) => format!("{name} by its own word, but {}", flaw.finding()),
            None if evidence.public_authority => format!("{name}, for whose name a public authority vouches"),
            None => name.to_string(),
        })
    }
}
