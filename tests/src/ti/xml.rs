//! The provider's XML: the same tree as its JSON under `<rl>`, with the elements of every array in `<item>`.
//!
//! The reader knows one document, the bulk question; it takes no DOCTYPE, entity or CDATA and ignores attributes.

use serde_json::Value;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
/// A bulk question is four deep; a deeper document is somebody else's.
const DEPTH_MAX: usize = 8;

/// Writes `value` as the content of one root element.
pub(crate) fn write(root: &str, value: &Value) -> String {
    let mut out = String::from(DECLARATION);
    write_element(&mut out, root, value);
    out
}

fn write_element(out: &mut String, name: &str, value: &Value) {
    out.push_str(&format!("<{name}>"));
    match value {
        Value::Null => {}
        Value::Bool(flag) => out.push_str(&flag.to_string()),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_text(out, text),
        Value::Array(items) => items.iter().for_each(|item| write_element(out, "item", item)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| write_element(out, name, value)),
    }
    out.push_str(&format!("</{name}>"));
}

fn write_text(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // XML 1.0 has no way to write the other control characters, escaped or not.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// Why a document is no bulk question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum XmlError {
    #[error("the document is not UTF-8")]
    NotText,
    #[error("the document is not well-formed, or uses more of XML than elements and text")]
    NotWellFormed,
    #[error("the document is nested too deeply")]
    TooDeep,
    #[error("rl/query/hash_type is missing")]
    NoHashType,
}

/// Reads `rl/query/hash_type` and `rl/query/hashes/item` from a posted document.
pub(crate) fn read_bulk(document: &[u8]) -> Result<(String, Vec<String>), XmlError> {
    let mut rest = str::from_utf8(document).map_err(|_| XmlError::NotText)?;
    let mut open: Vec<&str> = Vec::new();
    let mut hash_type = None;
    let mut hashes = Vec::new();
    while let Some(start) = rest.find('<') {
        let (text, tail) = rest.split_at(start);
        let end = tail.find('>').ok_or(XmlError::NotWellFormed)?;
        let tag = &tail[1..end];
        rest = &tail[end + 1..];
        if open.is_empty() && !text.trim_start_matches('\u{feff}').trim().is_empty() {
            return Err(XmlError::NotWellFormed);
        }
        if let Some(name) = tag.strip_prefix('/') {
            match open.as_slice() {
                ["rl", "query", "hash_type"] => hash_type = Some(plain(text)?),
                ["rl", "query", "hashes", "item"] => hashes.push(plain(text)?),
                _ => {}
            }
            if open.pop() != Some(name.trim_end()) {
                return Err(XmlError::NotWellFormed);
            }
        } else if tag.starts_with('!') {
            return Err(XmlError::NotWellFormed);
        } else if !tag.starts_with('?') && !tag.ends_with('/') {
            open.push(tag.split_ascii_whitespace().next().ok_or(XmlError::NotWellFormed)?);
            if open.len() > DEPTH_MAX {
                return Err(XmlError::TooDeep);
            }
        }
    }
    if !open.is_empty() || !rest.trim().is_empty() {
        return Err(XmlError::NotWellFormed);
    }
    Ok((hash_type.ok_or(XmlError::NoHashType)?, hashes))
}

/// Neither a hash nor a hash type needs an entity.
fn plain(text: &str) -> Result<String, XmlError> {
    if text.contains('&') {
        return Err(XmlError::NotWellFormed);
    }
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arrays_become_items_and_text_is_escaped() {
        let value = json!({
            "entries": [{"status": "KNOWN", "trust_factor": 0}, {"status": "UNKNOWN"}],
            "reason": "a<b & \u{1b}[31m",
        });
        assert_eq!(
            write("rl", &value),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><rl><entries>\
             <item><status>KNOWN</status><trust_factor>0</trust_factor></item>\
             <item><status>UNKNOWN</status></item></entries>\
             <reason>a&lt;b &amp; \u{fffd}[31m</reason></rl>"
        );
    }

    #[test]
    fn a_posted_document_is_read_with_declaration_whitespace_and_attributes() {
        let document = b"<?xml version='1.0'?>\n<rl>\n <query a='b'>\n  <hash_type>sha1</hash_type>\n  <hashes>\n   \
                         <item>aa</item><item> bb </item><item></item>\n  </hashes>\n </query>\n</rl>\n";
        let (hash_type, hashes) = read_bulk(document).unwrap();
        assert_eq!(hash_type, "sha1");
        assert_eq!(hashes, ["aa", "bb", ""]);
    }

    #[test]
    fn what_is_no_bulk_question_is_an_error() {
        for (document, error) in [
            (&b"\xff"[..], XmlError::NotText),
            (b"", XmlError::NoHashType),
            (b"<rl></rl>", XmlError::NoHashType),
            (b"<rl><query></rl></query>", XmlError::NotWellFormed),
            (b"<rl><query>", XmlError::NotWellFormed),
            (b"<rl", XmlError::NotWellFormed),
            (b"<>", XmlError::NotWellFormed),
            (b"text<rl></rl>", XmlError::NotWellFormed),
            (b"<!DOCTYPE rl [<!ENTITY a 'b'>]><rl></rl>", XmlError::NotWellFormed),
            (b"<rl><query><hash_type>&a;</hash_type></query></rl>", XmlError::NotWellFormed),
            (&b"<a>".repeat(100), XmlError::TooDeep),
        ] {
            assert_eq!(read_bulk(document), Err(error), "{}", String::from_utf8_lossy(document));
        }
    }
}
