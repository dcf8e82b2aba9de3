use proptest::prelude::*;

use super::*;

fn sign(manager: PackageManager, left: &str, right: &str) -> i32 {
    match compare(manager, left, right) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

#[test]
fn debian_orders_versions_as_its_policy_says() {
    let rising =
        ["1.0~~", "1.0~~a", "1.0~", "1.0", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0-2", "1.0a", "1.0+git", "1.0.1", "1.10", "0:2", "1:0.1"];
    for (at, left) in rising.iter().enumerate() {
        for (other, right) in rising.iter().enumerate() {
            assert_eq!(compare(PackageManager::Dpkg, left, right), at.cmp(&other), "{left} {right}");
        }
    }
    assert_eq!(sign(PackageManager::Dpkg, "0:1.0-0", "1.0"), 0);
    assert_eq!(sign(PackageManager::Dpkg, "1.000", "1.0"), 0);
}

#[test]
fn rpm_orders_versions_as_rpmvercmp_does() {
    let rising = ["1.0~rc1", "1.0~rc1^git1", "1.0", "1.0^", "1.0^git1", "1.0^git1~pre", "1.0.a", "1.0.1", "1.1", "1:0.5"];
    assert_eq!(sign(PackageManager::Rpm, "1.0^git1~pre", "1.0^git1"), -1, "a tilde stands before the end here too");
    for pair in rising.windows(2).filter(|pair| pair[1] != "1.0^git1~pre" && pair[0] != "1.0^git1~pre") {
        assert_eq!(sign(PackageManager::Rpm, pair[0], pair[1]), -1, "{pair:?}");
        assert_eq!(sign(PackageManager::Rpm, pair[1], pair[0]), 1, "{pair:?}");
    }
    assert_eq!(sign(PackageManager::Rpm, "1_0-1", "1.0-1"), 0, "separators only separate");
    assert_eq!(sign(PackageManager::Rpm, "1.a", "1.1"), -1, "a number is newer than letters");
    assert_eq!(sign(PackageManager::Rpm, "1.0", "1.0-1"), -1);
}

#[test]
fn a_range_is_written_in_one_way_only() {
    for (text, written) in [
        ("<3.0.9-1", "< 3.0.9-1"),
        (" <= 1:2 ", "<= 1:2"),
        (">2.0~rc1", "> 2.0~rc1"),
        (">= 2", ">= 2"),
        ("=1.2-3", "= 1.2-3"),
        ("[1,2]", "[1, 2]"),
        ("( 1 , 2 )", "(1, 2)"),
        ("[1,1]", "= 1"),
        ("[1,]", ">= 1"),
        ("(,2)", "< 2"),
    ] {
        let range: VersionRange = text.parse().unwrap();
        assert_eq!(range.to_string(), written);
        assert_eq!(written.parse::<VersionRange>().unwrap(), range);
        assert_eq!(serde_json::from_str::<VersionRange>(&serde_json::to_string(&range).unwrap()).unwrap(), range);
    }
}

#[test]
fn what_is_no_range_is_refused_with_the_reason() {
    for text in ["", "3.0.9", "<", "[1 2]", "[1,2", "[,]", "(1;2)"] {
        assert!(text.parse::<VersionRange>().is_err(), "{text}");
    }
    for version in ["< a b", "< ~1", "< x:1", "< 1:", "< -1", "< 1\n2", "<< 1"] {
        assert!(matches!(version.parse::<VersionRange>(), Err(RangeError::Version(_))), "{version}");
    }
    assert!(format!("< {}", "1".repeat(VERSION_BYTES_MAX + 1)).parse::<VersionRange>().is_err());
    let not_empty = |text: &str| text.parse::<VersionRange>().unwrap().not_empty(PackageManager::Dpkg);
    assert!(matches!(not_empty("[2, 1]"), Err(RangeError::Empty(_))));
    assert!(matches!(not_empty("[1, 1)"), Err(RangeError::Empty(_))));
    assert!(not_empty("[1, 1.0a]").is_ok() && not_empty("= 1").is_ok());
}

#[test]
fn a_range_contains_what_lies_between_its_ends() {
    let contains = |manager, range: &str, version: &str| range.parse::<VersionRange>().unwrap().contains(manager, version);
    use PackageManager::{Dpkg, Rpm};
    assert!(contains(Dpkg, "< 3.0.9-1", "3.0.8-1~deb12u1") && !contains(Dpkg, "< 3.0.9-1", "3.0.9-1"));
    assert!(contains(Dpkg, "[1.0, 2.0)", "1.0") && !contains(Dpkg, "[1.0, 2.0)", "2.0") && contains(Dpkg, "(1.0, 2.0]", "2.0"));
    assert!(!contains(Dpkg, "<= 3.0.9", "3.0.9-1"), "for Debian a revision is newer than none");
    assert!(contains(Rpm, "<= 3.0.9", "3.0.9-5.el9"), "for RPM a version stands for all its releases");
    assert!(contains(Rpm, "= 3.0.9", "0:3.0.9-5.el9") && !contains(Rpm, "= 3.0.9-4.el9", "3.0.9-5.el9"));
    assert!(!contains(Rpm, "< 3.0.9", "3.0.9-0") && !contains(Rpm, "< 3", "1:2-1"));
}

/// Versions with everything in them that means something to either manager.
fn version() -> impl Strategy<Value = String> {
    "(([0-9]{1,2}:)?[0-9a-zA-Z][0-9a-zA-Z.+~^_-]{0,10})|\\PC{0,6}"
}

proptest! {
    #[test]
    fn the_order_is_one(left in version(), right in version()) {
        for manager in [PackageManager::Dpkg, PackageManager::Rpm] {
            prop_assert_eq!(compare(manager, &left, &right), compare(manager, &right, &left).reverse());
            prop_assert_eq!(compare(manager, &left, &left), Ordering::Equal);
        }
    }

    #[test]
    fn debians_order_is_transitive(mut versions in prop::collection::vec(version(), 3)) {
        versions.sort_by(|left, right| compare(PackageManager::Dpkg, left, right));
        prop_assert_ne!(compare(PackageManager::Dpkg, &versions[0], &versions[2]), Ordering::Greater);
    }

    #[test]
    fn any_text_is_refused_or_a_range_that_reads_back(text in "\\PC{0,40}|[\\[(<>= ]{1,2}[0-9a-z.:~-]{0,6},? ?[0-9a-z.:~-]{0,6}[\\])]?") {
        if let Ok(range) = text.parse::<VersionRange>() {
            prop_assert_eq!(range.to_string().parse::<VersionRange>().unwrap(), range);
        }
    }
}
