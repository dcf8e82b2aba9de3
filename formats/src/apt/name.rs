//! The names under which apt keeps what it fetched in `var/lib/apt/lists`: the address without its scheme, user and password,
//! with every slash an underscore and every odd character escaped.

/// Characters apt escapes beside what is not printable.
const ESCAPED: &[u8] = b"\\|{}[]<>\"^~_=!@#$%^&*";

/// The name of the Release file of a suite, without its end (`InRelease`, `Release`). A suite that ends in a slash is a folder of
/// its own and has no components.
#[must_use]
pub fn release_file_name(uri: &str, suite: &str) -> String {
    let address = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let (is_remote, address) = address.strip_prefix("//").map_or((false, address), |rest| (true, rest));
    let address = match address.split_once('/') {
        Some((host, path)) if is_remote => format!("{}/{path}", host.rsplit('@').next().unwrap_or(host)),
        _ => address.to_owned(),
    };
    let slash = if address.ends_with('/') { "" } else { "/" };
    match suite.strip_suffix('/') {
        Some(_) if suite == "/" => escaped(&format!("{address}{slash}")),
        Some(_) => escaped(&format!("{address}{slash}{suite}")),
        None => escaped(&format!("{address}{slash}dists/{suite}/")),
    }
}

/// The name of an index beside the Release file of this name, without the end that tells how it is packed.
#[must_use]
pub fn index_file_name(release: &str, index: &str) -> String {
    format!("{release}{}", escaped(index))
}

fn escaped(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'/' => name.push('_'),
            byte if ESCAPED.contains(&byte) || !(0x21..0x7f).contains(&byte) => name.push_str(&format!("%{byte:02x}")),
            byte => name.push(char::from(byte)),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_apt_gives() {
        let debian = release_file_name("http://deb.debian.org/debian", "bookworm");
        assert_eq!(debian, "deb.debian.org_debian_dists_bookworm_");
        assert_eq!(
            index_file_name(&debian, "main/binary-amd64/Packages"),
            "deb.debian.org_debian_dists_bookworm_main_binary-amd64_Packages"
        );
        assert_eq!(release_file_name("file:/srv/my_repo", "./"), "_srv_my%5frepo_._");
        assert_eq!(release_file_name("https://user:secret@example.org:8443/x/", "stable"), "example.org:8443_x_dists_stable_");
    }
}
