//! Who may ask: HTTP Basic on every request, one entitled account and one that is not.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::refusal::Refusal;

/// The accounts of the simulated provider. Names hold slashes (`u/company/user`), passwords may hold colons.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    /// Entitled to TCA-0101.
    pub(crate) user: String,
    /// Known, but answered 403; shares the password.
    pub(crate) forbidden_user: String,
    pub(crate) password: String,
}

impl Accounts {
    /// Every request carries its credentials; there is no session and no challenge round.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let (user, password) = credentials(headers).ok_or(Refusal::Unauthorized)?;
        if password != self.password {
            return Err(Refusal::Unauthorized);
        }
        if user == self.user {
            Ok(())
        } else if user == self.forbidden_user {
            Err(Refusal::Forbidden)
        } else {
            Err(Refusal::Unauthorized)
        }
    }
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(authorization: Option<String>) -> Result<(), Refusal> {
        let accounts =
            Accounts { user: "u/doorward/simulator".into(), forbidden_user: "u/doorward/forbidden".into(), password: "with:colon".into() };
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        accounts.admit(&headers)
    }

    #[test]
    fn only_the_entitled_account_with_its_password_is_admitted() {
        let basic = |text: &str| Some(format!("Basic {}", STANDARD.encode(text)));
        assert_eq!(admitted(basic("u/doorward/simulator:with:colon")), Ok(()));
        assert_eq!(admitted(basic("u/doorward/forbidden:with:colon")), Err(Refusal::Forbidden));
        for refused in [
            None,
            basic("u/doorward/simulator:wrong"),
            basic("u/doorward/forbidden:wrong"),
            basic("someone:with:colon"),
            basic("no-colon"),
            Some("Bearer with:colon".into()),
            Some("Basic ???".into()),
            Some("Basic".into()),
        ] {
            assert_eq!(admitted(refused.clone()), Err(Refusal::Unauthorized), "{refused:?}");
        }
    }
}
