//! `[intel]` as operators write it, right and wrong.

use super::*;

fn parse(toml: &str) -> Settings {
    toml::from_str(toml).unwrap()
}

fn password_file(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    file
}

/// The settings of `toml` with an account that works.
fn with_account(toml: &str) -> (Settings, tempfile::NamedTempFile) {
    let password = password_file("p4ss-of-account\n");
    let settings = Settings {
        provider: ProviderChoice::ReversingLabs,
        user: Some("u/company/user".into()),
        password_file: Some(password.path().to_owned()),
        ..parse(toml)
    };
    (settings, password)
}

fn error(settings: &Settings) -> String {
    match settings.provider(Clock::system()) {
        Ok(_) => panic!("these settings are wrong: {settings:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_empty_table_asks_nobody() {
    let provider = parse("").provider(Clock::system()).unwrap();
    assert_eq!((provider.name(), provider.is_configured()), ("none", false));
}

#[test]
fn a_user_and_a_password_file_are_all_that_is_needed() {
    let (settings, _password) = with_account("");
    let provider = settings.provider(Clock::system()).unwrap();
    assert_eq!((provider.name(), provider.is_configured(), provider.batch_files_max()), ("reversinglabs", true, 100));
    for missing in [Settings { user: None, ..settings.clone() }, Settings { password_file: None, ..settings.clone() }] {
        assert!(error(&missing).contains("needs"));
    }
}

#[test]
fn hosts_are_presets_or_urls_in_order() {
    let hosts = |toml: &str| -> Vec<String> {
        let bases = parse(toml).bases().unwrap();
        bases.in_order(tokio::time::Instant::now()).map(|(_, base)| base.host.clone()).collect()
    };
    assert_eq!(hosts(""), ["data.reversinglabs.com"]);
    assert_eq!(hosts("preset = \"ticloud\""), ["ticloud-api.reversinglabs.com"]);
    assert_eq!(hosts("urls = [\"https://t1000.corp:8443\", \"ticloud-aws1\"]"), ["t1000.corp:8443", "ticloud-aws1-api.reversinglabs.com"]);
    assert!(matches!(parse("preset = \"api\"\nurls = [\"api\"]").bases(), Err(SettingsError::Both(..))));
    assert!(matches!(parse("urls = [\"http://ti.example\"]").bases(), Err(SettingsError::Base(BaseError::NotHttps(_)))));
}

#[test]
fn unknown_keys_and_numbers_out_of_range_are_named() {
    let unknown = toml::from_str::<Settings>("pasword_file = \"x\"").unwrap_err();
    assert!(unknown.to_string().contains("pasword_file"), "{unknown}");
    assert!(toml::from_str::<Settings>("[lifetimes]\nmalicious = 3").is_err());
    for (toml, key) in [
        ("connect_timeout_s = 0", "connect_timeout_s"),
        ("request_timeout_s = 601", "request_timeout_s"),
        ("in_flight = 0", "in_flight"),
        ("in_flight = 17", "in_flight"),
        ("batch_wait_ms = 60001", "batch_wait_ms"),
    ] {
        let said = error(&parse(toml));
        assert!(said.contains(key), "{said}");
    }
}

#[test]
fn proxy_credentials_leave_the_url() {
    let settings = parse("proxy = \"http://us%40er:p%3Ass@proxy.corp:3128\"\nno_proxy = [\"t1000.corp\", \"10.0.0.0/8\"]");
    let proxy = settings.proxy(settings.proxy.as_ref().unwrap()).unwrap();
    assert_eq!(proxy.url.as_str(), "http://proxy.corp:3128/");
    let (user, password) = proxy.credentials.unwrap();
    assert_eq!((user.as_str(), password.expose()), ("us@er", "p:ss"));

    let file = password_file("from-file");
    let settings = Settings { proxy_password_file: Some(file.path().to_owned()), ..parse("proxy = \"http://user@proxy.corp:3128\"") };
    let proxy = settings.proxy(settings.proxy.as_ref().unwrap()).unwrap();
    assert_eq!(proxy.credentials.unwrap().1.expose(), "from-file");

    for wrong in ["proxy.corp:3128", "socks5://proxy.corp", "http://proxy.corp/path", "http://u:%zz@proxy.corp"] {
        assert!(matches!(settings.proxy(&Secret::new(wrong)), Err(SettingsError::Proxy)), "{wrong}");
    }
}

#[test]
fn no_message_and_no_debug_output_holds_a_secret() {
    let (mut settings, _password) = with_account("proxy = \"http://user:p4ss-of-proxy@proxy.corp:3128/path\"");
    let mut shown = format!("{settings:?}{}", error(&settings));
    settings.proxy = Some(Secret::new("http://user:p4ss-of-proxy@proxy.corp:3128"));
    shown += &format!("{:?}{:?}", settings.connection().unwrap(), settings.connection().unwrap().client().unwrap());
    settings.urls = vec!["https://user:p4ss-of-url@ti.example".into()];
    shown += &error(&settings);
    assert!(!shown.contains("p4ss"), "{shown}");
}

#[test]
fn a_ca_file_without_certificates_is_refused() {
    let (mut settings, _password) = with_account("ca_only = true");
    assert!(error(&settings).contains("ca_only needs ca_file"));
    let damaged = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    for content in ["", "no certificate", damaged] {
        let file = password_file(content);
        settings.ca_file = Some(file.path().to_owned());
        assert!(error(&settings).contains("not a PEM file"), "{content:?}");
    }
    settings.ca_file = Some("/nonexistent/ca.pem".into());
    assert!(error(&settings).contains("cannot read the CA file"));
}
