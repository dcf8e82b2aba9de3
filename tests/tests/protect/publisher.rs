//! What a publisher signed starts or does not, as people decide on him.

use doorward_tests::lab::alteration::Alteration;
use doorward_tests::site::{Site, sha256, unheard_of};
use doorward_tests::workshop::Purpose::CodeSigning;
use doorward_tests::workshop::{ALWAYS, Signer, Workshop};
use nix::errno::Errno;

use crate::{CANARY_LIMIT, minimal};

const ANCHOR: &str = "/etc/doorward/publishers/anchors.d/site.crt";
const NAME: &str = "Our builds";

/// With the signature the kernel itself would go by: IMA's, which any program can carry.
#[test]
fn a_program_starts_by_its_publisher_and_stops_starting_when_he_is_denied() {
    let Some(workshop) = Workshop::with(&["openssl"]) else { return };
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let signer = Signer::authority("Site").certifies(NAME, CodeSigning, ALWAYS);
    let (tool, foreign) = (unheard_of("signed"), unheard_of("not signed"));
    lab.write(ANCHOR, &signer.der, "644");
    lab.add_program("/opt/tool", &tool);
    lab.add_program("/opt/foreign", &foreign);
    lab.alter(Alteration::Ima, "/opt/tool", &workshop.sign_ima(&tool, &signer));
    let agent = lab.agent(&site);
    let _ = agent.reference_scan(&site);
    let _ = site.settled();
    assert!(site.file(&sha256(&tool)).expect("nobody allowed him yet").to_string().contains(NAME));
    agent.protects(&site, "deny");
    assert_eq!(lab.run(&["/opt/tool"]).refusal(), Some(Errno::EPERM), "nobody allowed him yet");

    let _ = site.cms_says(&["publisher", "allow", NAME, "--profile", "default"]);
    let _ = site.ask(&["profile", "publish", "default"]);
    let _ = agent.judged("/opt/tool", "publisher");
    let ended = lab.run(&["/opt/tool"]);
    assert!(ended.success(), "{ended:?}");
    assert_eq!(lab.run(&["/opt/foreign"]).refusal(), Some(Errno::EPERM), "another's program gains nothing");
    // The signature of one content on another.
    lab.alter(Alteration::Ima, "/opt/foreign", &workshop.sign_ima(&tool, &signer));
    assert_eq!(lab.run(&["/opt/foreign"]).refusal(), Some(Errno::EPERM));

    let _ = site.cms_says(&["profile", "set", "default", "unverified_action=allow"]);
    let _ = site.cms_says(&["publisher", "deny", NAME, "--profile", "default"]);
    let _ = site.ask(&["profile", "publish", "default"]);
    let why = agent.judged("/opt/tool", "publisher_not_allowed");
    assert_eq!(lab.run(&["/opt/tool"]).refusal(), Some(Errno::EPERM), "{why}");
    assert!(lab.run(&["/opt/foreign"]).success(), "what nothing settles may run now");
    lab.assert_alive_within(CANARY_LIMIT);
}
