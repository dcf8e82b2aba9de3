//! Threat intelligence's change of mind: which way it went, and how it is told.

use doorward_policy::{Answer, Class, Reputation, threat_score};

use crate::incident::Opinion;

/// From best to worst. What is trusted can only fall; among threats malicious is worse than suspicious.
const fn badness(reputation: &Reputation) -> u8 {
    match (reputation.class, reputation.trust_factor) {
        (Class::Known, Some(factor)) if factor <= doorward_policy::reputation::TRUST_FACTOR_MAX => 0,
        (Class::Known | Class::Unknown, _) => 1,
        (Class::Suspicious, _) => 2,
        (Class::Malicious, _) => 3,
    }
}

/// Whether a new answer is a turn for the worse.
#[must_use]
pub const fn is_worse(old: &Reputation, new: &Reputation) -> bool {
    badness(new) > badness(old)
}

/// An answer in the words people see.
#[must_use]
pub fn opinion(reputation: &Reputation) -> Opinion {
    Opinion {
        class: reputation.class,
        trust_factor: reputation.trust_factor,
        threat_score: threat_score(&Answer::Reputation(reputation.clone())),
        threat_name: reputation.threat_name.clone().filter(|_| reputation.is_threat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(class: Class, trust_factor: Option<u8>) -> Reputation {
        Reputation { class, trust_factor, threat_level: None, threat_name: None }
    }

    #[test]
    fn worse_is_less_trusted_or_more_of_a_threat_and_nothing_else() {
        let ladder = [
            answer(Class::Known, Some(2)),
            answer(Class::Unknown, None),
            answer(Class::Suspicious, None),
            answer(Class::Malicious, Some(0)),
        ];
        for (old_place, old) in ladder.iter().enumerate() {
            for (new_place, new) in ladder.iter().enumerate() {
                assert_eq!(is_worse(old, new), new_place > old_place, "{old:?} -> {new:?}");
            }
        }
        assert!(!is_worse(&answer(Class::Unknown, None), &answer(Class::Known, Some(4))));
        assert!(is_worse(&answer(Class::Known, Some(1)), &answer(Class::Known, None)));
        assert!(!is_worse(&answer(Class::Known, Some(0)), &answer(Class::Known, Some(2))));
    }
}
