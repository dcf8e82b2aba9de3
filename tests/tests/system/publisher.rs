//! Publishers, from the signature on a file to what people decide on them.

use std::fs;

use doorward_tests::site::{Site, sha256};
use doorward_tests::workshop::Purpose::CodeSigning;
use doorward_tests::workshop::{ALWAYS, Signer, Workshop, image};

const NAME: &str = "Example Ltd";

/// An image signed by somebody the authority vouches for.
fn signed(workshop: &Workshop, content: &str, signer: &Signer) -> Vec<u8> {
    let plain = workshop.write("plain.exe", &image(content.as_bytes()));
    workshop.sign_image(&plain, signer, &["-h", "sha256"])
}

#[test]
fn an_allowed_publishers_files_are_safe_and_a_denied_ones_are_threats_nobody_is_asked_about() {
    let Some(workshop) = Workshop::with(&["osslsigncode"]) else { return };
    let site = Site::start();
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies(NAME, CodeSigning, ALWAYS);
    let [first, second, third] = ["first", "second", "third"].map(|content| signed(&workshop, content, &signer));
    let host = site.host("web-1").with_anchor("anchors.d", &authority.der).with_file("opt/first.exe", &first).enrolled().running();
    let _ = host.reference_scan(&site);
    let why = host.why("opt/first.exe");
    assert_eq!((&why["judgement"]["row"], &why["publisher"]), (&"nothing".into(), &NAME.into()), "{why}");
    let _ = site.settled();
    let file = site.file(&sha256(&first)).expect("nobody allowed that publisher yet");
    let publisher = &file["observations"][0]["evidence"]["publisher"];
    assert_eq!((&publisher["name"], &publisher["chain_trusted"]), (&NAME.into(), &true.into()), "{file}");
    assert_eq!(publisher["chain"], serde_json::json!(["Example Root"]), "{file}");
    assert_eq!(site.asked(&sha256(&first)), 1);

    let _ = site.cms_says(&["publisher", "allow", NAME, "--profile", "default"]);
    let _ = site.ask(&["profile", "publish", "default"]);
    let why = host.judged("opt/first.exe", "publisher");
    assert_eq!((&why["judgement"]["verdict"], &why["status"]["status"]), (&"allow".into(), &"safe".into()), "{why}");
    host.add_file("opt/second.exe", &second);
    let scan = host.reference_scan(&site);
    assert_eq!((&scan["unresolved"], &scan["otherwise_trusted"]), (&0.into(), &2.into()), "{scan}");
    let _ = site.settled();
    assert!(site.file(&sha256(&second)).is_none(), "what an allowed publisher signed is settled on the host");

    let _ = site.cms_says(&["publisher", "deny", NAME, "--profile", "default"]);
    let _ = site.ask(&["profile", "publish", "default"]);
    let why = host.judged("opt/second.exe", "publisher_not_allowed");
    assert_eq!((&why["judgement"]["verdict"], &why["status"]["status"]), (&"deny".into(), &"threat".into()), "{why}");
    host.add_file("opt/third.exe", &third);
    let _ = host.reference_scan(&site);
    let _ = site.settled();
    for content in [&second, &third] {
        assert_eq!(site.file_with_reason(&sha256(content), "publisher_not_allowed")["status"], "threat");
        assert_eq!(site.asked(&sha256(content)), 0, "an explicit denial needs no look-up");
    }
}

#[test]
fn a_public_authority_alone_makes_no_publisher_welcome() {
    let Some(workshop) = Workshop::with(&["osslsigncode"]) else { return };
    let site = Site::start();
    let (public, own) = (Signer::authority("Public Root"), Signer::authority("Own Root"));
    let strange = signed(&workshop, "strange", &public.certifies("Anybody Ltd", CodeSigning, ALWAYS));
    let ours = signed(&workshop, "ours", &own.certifies("Our builds", CodeSigning, ALWAYS));
    let host = site
        .host("web-1")
        .with_anchor("public.d", &public.der)
        .with_anchor("anchors.d", &own.der)
        .with_file("opt/strange.exe", &strange)
        .with_file("opt/ours.exe", &ours)
        .enrolled()
        .running();
    let _ = site.cms_says(&["profile", "set", "default", "allow_new_publishers=true"]);
    let _ = site.cms_says(&["profile", "publish", "default"]);
    let _ = host.judged("opt/ours.exe", "publisher");
    let why = host.judged("opt/strange.exe", "nothing");
    let steps = why["steps"].to_string();
    assert!(steps.contains("a public authority vouches for that name and nobody here allowed it"), "{why}");
    let _ = host.reference_scan(&site);
    let _ = site.settled();
    assert_eq!((site.asked(&sha256(&strange)), site.asked(&sha256(&ours))), (1, 0));
}

#[test]
fn why_says_what_is_wrong_with_a_signature_also_offline() {
    let Some(workshop) = Workshop::with(&["osslsigncode", "jar", "jarsigner", "openssl"]) else { return };
    let site = Site::start();
    let authority = Signer::authority("Example Root");
    let signer = authority.certifies(NAME, CodeSigning, ALWAYS);
    let good = signed(&workshop, "good", &signer);
    let mut altered = good.clone();
    altered[0x210] ^= 1;
    let expired = signed(&workshop, "expired", &authority.certifies("Old Ltd", CodeSigning, [2015, 2016]));
    workshop.write("in/Main.class", b"\xca\xfe\xba\xbe");
    workshop.run("jar", &["--create", "--file", "app.jar", "-C", "in", "."]);
    workshop.sign_jar(&workshop.path("app.jar"), &signer, &[]);
    let jar = fs::read(workshop.path("app.jar")).unwrap();
    let script = [&b"#!/bin/sh\nexit 0\n"[..], &jar].concat();
    let mut host = site
        .host("web-1")
        .with_anchor("anchors.d", &authority.der)
        .with_file("opt/good.exe", &good)
        .with_file("opt/altered.exe", &altered)
        .with_file("opt/expired.exe", &expired)
        .with_file("opt/app.jar", &jar)
        .with_file("opt/script", &script)
        .enrolled()
        .running();
    let expected = [
        ("opt/good.exe", Some("Example Ltd")),
        ("opt/altered.exe", Some("Example Ltd by its own word, but the content is not what was signed")),
        (
            "opt/expired.exe",
            Some("Old Ltd by its own word, but its certificate had ended, and no time stamp that counts says that it was signed before"),
        ),
        ("opt/app.jar", Some("Example Ltd")),
        ("opt/script", None),
    ];
    for (path, publisher) in expected {
        assert_eq!(host.why(path)["publisher"].as_str(), publisher, "{path}");
    }
    host.stop();
    for (path, publisher) in expected {
        assert_eq!(host.why(path)["publisher"].as_str(), publisher, "{path}, offline");
    }
}
