//! Hosts known to serve the file reputation API (TCA-0101), by the words a configuration may use for them.
//! No source states a difference between them; the first is the one documented today.

/// Word and base URL of every preset, the default first.
pub const PRESETS: [(&str, &str); 6] = [
    ("spectra", "https://data.reversinglabs.com"),
    ("ticloud", "https://ticloud-api.reversinglabs.com"),
    ("ticloud-aws1", "https://ticloud-aws1-api.reversinglabs.com"),
    ("ticloud-cdn", "https://ticloud-cdn-api.reversinglabs.com"),
    ("ticloud01", "https://ticloud01.reversinglabs.com"),
    ("api", "https://api.reversinglabs.com"),
];

/// The base URL a preset's word stands for.
#[must_use]
pub fn preset(word: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(preset, _)| *preset == word).map(|(_, url)| *url)
}

/// Base URL used when the configuration names none.
pub const DEFAULT_URL: &str = PRESETS[0].1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_of_the_vendor_has_a_word_and_todays_is_the_default() {
        assert_eq!(DEFAULT_URL, "https://data.reversinglabs.com");
        assert_eq!(preset("ticloud-aws1"), Some("https://ticloud-aws1-api.reversinglabs.com"));
        assert_eq!(preset("TICLOUD"), None);
        for (word, url) in PRESETS {
            let url = reqwest::Url::parse(url).unwrap();
            assert!(url.scheme() == "https" && url.domain().unwrap().ends_with(".reversinglabs.com"), "{word}");
        }
    }
}
