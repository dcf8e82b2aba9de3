//! What is known of a file when it is judged, gathered beforehand by whoever asks.
//! [`Facts`] holds everything a status may depend on; allows stand outside it, so no allow can make a threat look safe.

use crate::{Answer, Fit, Listing, PackageEvidence, PublisherEvidence, Scope};

/// Whether the file belongs to what the host cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closure {
    /// It does not, or it could not prove that it still is what it was.
    Outside,
    /// The wider boot closure: shell, remote access, package manager and their libraries, with package evidence. A list's deny is
    /// overridden there, and nothing else.
    Boot,
    /// The unblockable closure: PID 1, the ELF loader and the agent itself, with package evidence or the digest in the signed
    /// enrollment record.
    Proven,
}

/// A source with the published lists' stand towards it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Listed<T> {
    /// What the host proved.
    pub evidence: T,
    /// What the lists say of that source.
    pub listing: Listing,
}

/// Everything but allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Membership of what the host cannot do without.
    pub closure: Closure,
    /// The widest scope in which a person denied the file.
    pub denied_by_person: Option<Scope>,
    /// The package that claims the file.
    pub package: Option<Listed<PackageEvidence>>,
    /// The publisher that signed the file.
    pub publisher: Option<Listed<PublisherEvidence>>,
    /// What TI says.
    pub answer: Answer,
}

impl Facts {
    /// A file of which nothing at all is known, in the given TI state.
    #[must_use]
    pub const fn unknown(answer: Answer) -> Self {
        Self { closure: Closure::Outside, denied_by_person: None, package: None, publisher: None, answer }
    }

    /// A denied package claims the file. A changed file of such a package is no less unwanted, so the digest does not matter.
    #[must_use]
    pub fn is_of_denied_package(&self) -> bool {
        self.package.as_ref().is_some_and(|package| package.listing == Listing::Denied)
    }

    /// A denied publisher's valid signature is on the file; an invalid one proves nothing about where it comes from.
    #[must_use]
    pub fn is_of_denied_publisher(&self) -> bool {
        self.publisher.as_ref().is_some_and(|publisher| publisher.listing == Listing::Denied && publisher.evidence.valid)
    }

    /// A list would deny it: the file, its package or its publisher.
    #[must_use]
    pub fn is_denied_by_list(&self) -> bool {
        self.denied_by_person.is_some() || self.is_of_denied_package() || self.is_of_denied_publisher()
    }

    /// The host does without that deny: what would be denied belongs to the wider boot closure, and only a list speaks against it.
    #[must_use]
    pub fn overrides_list(&self) -> bool {
        self.closure == Closure::Boot && self.is_denied_by_list() && !self.answer.is_threat()
    }

    /// No list can block it: row 1.
    #[must_use]
    pub fn is_unblockable(&self) -> bool {
        self.closure == Closure::Proven || self.overrides_list()
    }

    /// A package lists other content for this path: somebody changed the file.
    #[must_use]
    pub fn is_modified(&self) -> bool {
        self.package.as_ref().is_some_and(|package| package.evidence.fit == Fit::Modified)
    }
}

/// A file to be judged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// What status and judgement share.
    pub facts: Facts,
    /// The widest scope in which a person allowed the file.
    pub allowed_by_person: Option<Scope>,
    /// The widest scope in which an automatic allow is published.
    pub allowed_by_rule: Option<Scope>,
}
