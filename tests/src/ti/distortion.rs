//! What the faults do to an answer that is otherwise right: the things a provider never promised not to do.

use serde_json::{Value, json};

use super::answer::Object;
use super::fault::FaultKind;

/// A word the documentation does not have, for `unknown_status`.
const UNDOCUMENTED_STATUS: &str = "GREYWARE";
/// The two fields the documentation has in every entry.
const REQUIRED_FIELDS: [&str; 2] = ["status", "query_hash"];

/// Changes the content of `rl`; kinds that are not about content leave it alone.
pub(crate) fn distort(kind: FaultKind, rl: &mut Object) {
    match kind {
        FaultKind::Shuffle => bulk_entries(rl).reverse(),
        FaultKind::Missing => leave_one_out(rl),
        FaultKind::UnknownStatus => each_entry(rl, |entry| {
            entry.insert("status".into(), UNDOCUMENTED_STATUS.into());
        }),
        FaultKind::LowerStatus => each_entry(rl, |entry| {
            let status = entry["status"].as_str().unwrap_or_default().to_lowercase();
            entry.insert("status".into(), status.into());
        }),
        FaultKind::DropOptional => each_entry(rl, |entry| {
            entry.retain(|name, _| REQUIRED_FIELDS.contains(&name.as_str()));
        }),
        FaultKind::ExtraFields => {
            each_entry(rl, add_fields);
            add_fields(rl);
        }
        FaultKind::Upper => each_entry(rl, |entry| {
            for name in ["md5", "sha1", "sha256"] {
                entry.get_mut(name).into_iter().for_each(uppercase);
            }
            let asked = entry.get_mut("query_hash").and_then(Value::as_object_mut);
            asked.into_iter().flat_map(|asked| asked.values_mut()).for_each(uppercase);
        }),
        FaultKind::None | FaultKind::Status | FaultKind::Slow | FaultKind::Cut | FaultKind::Html => {}
    }
}

/// Empty for a single question.
fn bulk_entries(rl: &mut Object) -> &mut [Value] {
    match rl.get_mut("entries").and_then(Value::as_array_mut) {
        Some(entries) => entries,
        None => &mut [],
    }
}

fn leave_one_out(rl: &mut Object) {
    rl.remove("malware_presence");
    if let Some(entries) = rl.get_mut("entries").and_then(Value::as_array_mut)
        && !entries.is_empty()
    {
        entries.remove(0);
    }
}

fn each_entry(rl: &mut Object, mut change: impl FnMut(&mut Object)) {
    bulk_entries(rl).iter_mut().filter_map(Value::as_object_mut).for_each(&mut change);
    let single = rl.get_mut("malware_presence").and_then(Value::as_object_mut);
    single.into_iter().for_each(change);
}

fn add_fields(object: &mut Object) {
    object.insert("a_field_of_tomorrow".into(), json!({"nested": [1, null, {"deep": true}]}));
    object.insert("an_empty_field".into(), Value::Null);
}

fn uppercase(value: &mut Value) {
    if let Some(text) = value.as_str() {
        *value = text.to_uppercase().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(digit: &str, trust: u8) -> Value {
        json!({"status": "KNOWN", "query_hash": {"sha1": digit.repeat(40)}, "sha1": digit.repeat(40), "trust_factor": trust})
    }

    fn distorted(kind: FaultKind) -> Object {
        let mut rl = Object::new();
        rl.insert("entries".into(), json!([entry("a", 0), entry("b", 1), entry("c", 2)]));
        distort(kind, &mut rl);
        rl
    }

    fn single(kind: FaultKind) -> Object {
        let mut rl = Object::new();
        rl.insert("malware_presence".into(), entry("a", 0));
        distort(kind, &mut rl);
        rl
    }

    #[test]
    fn order_and_number_of_entries() {
        let reversed = json!([entry("c", 2), entry("b", 1), entry("a", 0)]);
        assert_eq!(distorted(FaultKind::Shuffle)["entries"], reversed);
        assert_eq!(distorted(FaultKind::Missing)["entries"], json!([entry("b", 1), entry("c", 2)]));
        assert_eq!(single(FaultKind::Missing), Object::new());
        assert_eq!(single(FaultKind::Shuffle)["malware_presence"], entry("a", 0));
    }

    #[test]
    fn fields_of_an_entry() {
        for rl in [distorted(FaultKind::DropOptional), single(FaultKind::DropOptional)] {
            let entry = rl.get("malware_presence").unwrap_or_else(|| &rl["entries"][0]);
            assert_eq!(*entry, json!({"status": "KNOWN", "query_hash": {"sha1": "a".repeat(40)}}));
        }
        let extra = distorted(FaultKind::ExtraFields);
        for object in [&Value::Object(extra.clone()), &extra["entries"][2]] {
            assert_eq!(object.get("an_empty_field"), Some(&Value::Null));
            assert!(object["a_field_of_tomorrow"]["nested"].is_array());
        }
    }

    #[test]
    fn spelling_of_an_entry() {
        let upper = &distorted(FaultKind::Upper)["entries"][0];
        assert_eq!(upper["query_hash"]["sha1"], json!("A".repeat(40)));
        assert_eq!(upper["sha1"], json!("A".repeat(40)));
        assert_eq!(upper["status"], "KNOWN");
        let lower = single(FaultKind::LowerStatus);
        assert_eq!(lower["malware_presence"]["status"], "known");
        let unknown = single(FaultKind::UnknownStatus);
        assert_eq!(unknown["malware_presence"]["status"], UNDOCUMENTED_STATUS);
    }
}
