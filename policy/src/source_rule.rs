//! What lists say of a source: entries of a profile and of the global scope, for all versions or for some. One word comes of them.

use crate::{Listing, PackageManager, VersionRange};

/// One published entry that names the source.
#[derive(Debug, Clone, Copy)]
pub struct SourceRule<'a> {
    /// It stands above all profiles.
    pub is_global: bool,
    /// Not allowed, rather than allowed.
    pub denies: bool,
    /// Only these versions; all of them otherwise.
    pub versions: Option<&'a VersionRange>,
}

/// How lists stand towards a source in this version, publishers having none.
///
/// Within one scope an entry for some versions speaks before one for all of them, and among its like a deny before an allow. Of the two
/// scopes a deny in either beats an allow in the other. See decision 0014.
#[must_use]
pub fn listing<'a>(version: Option<(PackageManager, &str)>, rules: impl IntoIterator<Item = SourceRule<'a>>) -> Listing {
    // By scope, then for all versions and for some.
    let mut said = [[Listing::Unlisted; 2]; 2];
    for rule in rules {
        let applies = match (rule.versions, version) {
            (None, _) => true,
            (Some(versions), Some((manager, version))) => versions.contains(manager, version),
            (Some(_), None) => false,
        };
        if applies {
            let word = &mut said[usize::from(rule.is_global)][usize::from(rule.versions.is_some())];
            *word = (*word).max(if rule.denies { Listing::Denied } else { Listing::Allowed });
        }
    }
    let of_scope = |[all, some]: [Listing; 2]| if some == Listing::Unlisted { all } else { some };
    said.map(of_scope).into_iter().max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `g` global or `p` profile, `+` allow or `-` deny, then versions if any.
    fn says(rules: &[&str], version: &str) -> Listing {
        let ranges: Vec<Option<VersionRange>> =
            rules.iter().map(|rule| Some(&rule[2..]).filter(|range| !range.is_empty()).map(|range| range.parse().unwrap())).collect();
        let rules = rules.iter().zip(&ranges).map(|(rule, versions)| SourceRule {
            is_global: rule.starts_with('g'),
            denies: rule[1..].starts_with('-'),
            versions: versions.as_ref(),
        });
        listing(Some((PackageManager::Dpkg, version)), rules)
    }

    #[test]
    fn some_versions_before_all_and_a_deny_before_an_allow() {
        use Listing::{Allowed, Denied, Unlisted};
        for (rules, version, expected) in [
            (&[][..], "1", Unlisted),
            (&["p+"], "1", Allowed),
            (&["p-"], "1", Denied),
            (&["p-< 2"], "1", Denied),
            (&["p-< 2"], "2", Unlisted),
            (&["p+", "p-< 2"], "1", Denied),
            (&["p+", "p-< 2"], "2", Allowed),
            (&["p-", "p+>= 2"], "2", Allowed),
            (&["p-", "p+>= 2"], "1", Denied),
            (&["p+[1, 3]", "p-[2, 4]"], "2", Denied),
            (&["p+[1, 3]", "p-[2, 4]"], "1", Allowed),
            (&["g-", "p+"], "1", Denied),
            (&["g-", "p+= 1"], "1", Denied),
            (&["g+", "p-= 1"], "1", Denied),
            (&["g+= 1", "p-"], "1", Denied),
            (&["g-", "g+= 1", "p+"], "1", Allowed),
            (&["g+", "p-= 1"], "2", Allowed),
        ] {
            assert_eq!(says(rules, version), expected, "{rules:?} of {version}");
            let backwards: Vec<_> = rules.iter().rev().copied().collect();
            assert_eq!(says(&backwards, version), expected, "{backwards:?} of {version}");
        }
    }

    #[test]
    fn a_source_without_a_version_is_named_by_entries_for_all_of_them_only() {
        let versions = "< 2".parse().unwrap();
        let rule = |versions| SourceRule { is_global: false, denies: true, versions };
        assert_eq!(listing(None, [rule(Some(&versions))]), Listing::Unlisted);
        assert_eq!(listing(None, [rule(None)]), Listing::Denied);
    }
}
