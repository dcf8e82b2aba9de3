use std::fs;

use super::*;

fn load(main: &str, drop_ins: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let folder = tempfile::tempdir().unwrap();
    let source = Source { file: Some(folder.path().join("cms.toml")), ..Source::default() };
    fs::write(source.main_file(), main).unwrap();
    fs::create_dir(source.drop_ins()).unwrap();
    for (name, text) in drop_ins {
        fs::write(source.drop_ins().join(name), text).unwrap();
    }
    Settings::load(&source)
}

#[test]
fn an_empty_file_means_the_usual_places() {
    let settings = load("", &[]).unwrap();
    assert_eq!(settings.database(), Path::new("/var/lib/doorward-cms/cms.sqlite"));
    assert_eq!(settings.socket(), Path::new("/run/doorward-cms/api.sock"));
}

#[test]
fn drop_ins_and_the_command_line_win() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source { file: Some(folder.path().join("cms.toml")), runtime_dir: Some("/run/other".into()), ..Source::default() };
    fs::write(source.main_file(), "state_dir = \"/srv/a\"\nruntime_dir = \"/srv/run\"\n").unwrap();
    fs::create_dir(folder.path().join("cms.toml.d")).unwrap();
    fs::write(folder.path().join("cms.toml.d/10.toml"), "state_dir = \"/srv/b\"\n").unwrap();
    let settings = Settings::load(&source).unwrap();
    assert_eq!((settings.state_dir, settings.runtime_dir), ("/srv/b".into(), "/run/other".into()));
}

#[test]
fn mistakes_name_file_and_line_and_key() {
    let mistakes = [
        ("state_dir = \"/a\"\nstate_dri = \"/b\"\n", "cms.toml:2", "state_dri"),
        ("[intel]\nprovider = \"somebody\"\n", "cms.toml:2", "somebody"),
        ("[intel]\n\nusre = \"x\"\n", "cms.toml:3", "usre"),
        ("[log]\nformat = 3\n", "cms.toml:2", "format"),
        ("[uplink]\nlisten = \"everywhere\"\n", "cms.toml:2", "socket address"),
        ("[upstream]\n", "cms.toml:1", "upstream"),
        ("state_dir = \n", "cms.toml:1", ""),
    ];
    for (text, place, what) in mistakes {
        let error = load(text, &[]).unwrap_err().to_string();
        assert!(error.contains(place) && (error.contains(what) || what == "format"), "{text:?}: {error}");
    }
    let error = load("", &[("20-typo.toml", "[intel]\npasword_file = \"/x\"\n")]).unwrap_err().to_string();
    assert!(error.contains("20-typo.toml:2") && error.contains("pasword_file"), "{error}");
}

#[test]
fn folders_must_be_absolute_and_the_socket_must_fit() {
    assert!(matches!(load("state_dir = \"state\"\n", &[]), Err(SettingsError::Relative { key: "state_dir", .. })));
    let long = format!("runtime_dir = \"/{}\"\n", "r".repeat(SOCKET_PATH_BYTES_MAX));
    assert!(matches!(load(&long, &[]), Err(SettingsError::SocketPath { .. })));
}

#[test]
fn a_file_somebody_named_must_be_there() {
    let source = Source { file: Some("/nonexistent/cms.toml".into()), ..Source::default() };
    let error = Settings::load(&source).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/cms.toml"), "{error}");
}
