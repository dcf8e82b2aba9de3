//! Enrollment tokens. Only a hash of the secret is kept; the secret itself is shown once, when it is made.

use doorward_policy::ProfileId;
use serde::Serialize;
use uuid::Uuid;

use super::audit::{self, Act};
use super::column::Columns;
use super::{Connection, Cursor, Page, PageRequest, Result, Store, mint};

/// A token to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Hash of the secret, as enrollment computes it.
    pub secret_hash: [u8; 32],
    /// Where hosts that spend it go.
    pub profile: ProfileId,
    /// How many hosts may spend it.
    pub uses: u32,
    /// Microseconds since 1970, UTC.
    pub expires_at: i64,
}

/// A token as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenView {
    /// Names it in lists and when it is revoked; says nothing about the secret.
    pub id: Uuid,
    /// Where hosts that spend it go.
    pub profile: String,
    /// How many hosts may spend it.
    pub uses: u32,
    /// How many still may.
    pub uses_left: u32,
    /// Microseconds since 1970, UTC.
    pub expires_at: i64,
    /// Microseconds since 1970, UTC.
    pub created_at: i64,
    /// Who made it.
    pub created_by: String,
    /// Set once somebody revoked it.
    pub revoked_at: Option<i64>,
}

/// One use of a token, spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpentToken {
    /// The token.
    pub id: Uuid,
    /// Where the host goes.
    pub profile: ProfileId,
    /// That profile's name.
    pub profile_name: String,
}

const SELECT: &str = "SELECT t.*, p.name AS profile FROM token t JOIN profile p ON p.id = t.profile_id WHERE t.id = $1";

impl Store {
    /// Keeps a new token.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn create_token(&self, new: &NewToken, actor: &str, now: i64) -> Result<TokenView> {
        const INSERT: &str = "INSERT INTO token (id, secret_hash, profile_id, uses, uses_left, expires_at, created_at, created_by) \
             VALUES ($1, $2, $3, $4, $4, $5, $6, $7)";
        let id = mint(now);
        let mut work = self.begin().await?;
        sqlx::query(INSERT)
            .bind(id.as_bytes().as_slice())
            .bind(new.secret_hash.as_slice())
            .bind(new.profile.as_bytes().as_slice())
            .bind(i64::from(new.uses))
            .bind(new.expires_at)
            .bind(now)
            .bind(actor)
            .execute(&mut *work)
            .await?;
        let row = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_one(&mut *work).await?;
        let token = token(&Columns(&row))?;
        let (target, after) = (id.to_string(), format!("profile {}, {} uses", token.profile, token.uses));
        let act = Act { at: now, actor, action: "token.create", target: &target, after: Some(&after), ..Act::default() };
        audit::append(&mut work, act).await?;
        work.commit().await?;
        Ok(token)
    }

    /// Tokens in order of making, spent, expired and revoked ones too.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn tokens(&self, page: &PageRequest) -> Result<Page<TokenView>> {
        const SELECT: &str = "SELECT t.*, p.name AS profile FROM token t JOIN profile p ON p.id = t.profile_id \
             WHERE t.id > $1 ORDER BY t.id LIMIT $2";
        let after = page.after.as_ref().map_or(Ok([0; 16]), Cursor::key)?;
        let rows = sqlx::query(SELECT).bind(after.as_slice()).bind(i64::from(page.limit) + 1).fetch_all(&self.reader).await?;
        let tokens = rows.iter().map(|row| token(&Columns(row))).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(tokens, page.limit, |token| Cursor::new(token.id.as_bytes().as_slice())))
    }

    /// Revokes a token; hosts that spent it stay. Says whether there is such a token.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn revoke_token(&self, id: Uuid, actor: &str, now: i64) -> Result<bool> {
        const UPDATE: &str = "UPDATE token SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1";
        let mut work = self.begin().await?;
        let found = sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(now).execute(&mut *work).await?.rows_affected() > 0;
        if found {
            let target = id.to_string();
            audit::append(&mut work, Act { at: now, actor, action: "token.revoke", target: &target, ..Act::default() }).await?;
        }
        work.commit().await?;
        Ok(found)
    }
}

/// Spends one use, if there is a token with this secret that has one left, is not revoked and has not expired.
pub(super) async fn spend(work: &mut Connection, secret_hash: &[u8; 32], now: i64) -> Result<Option<SpentToken>> {
    const SPEND: &str = "UPDATE token SET uses_left = uses_left - 1 \
         WHERE secret_hash = $1 AND uses_left > 0 AND revoked_at IS NULL AND expires_at > $2 RETURNING id, profile_id";
    const NAME: &str = "SELECT name FROM profile WHERE id = $1";
    let Some(row) = sqlx::query(SPEND).bind(secret_hash.as_slice()).bind(now).fetch_optional(&mut *work).await? else {
        return Ok(None);
    };
    let (id, profile) = (Columns(&row).uuid("id")?, Columns(&row).profile("profile_id")?);
    let name = sqlx::query(NAME).bind(profile.as_bytes().as_slice()).fetch_one(work).await?;
    Ok(Some(SpentToken { id, profile, profile_name: Columns(&name).text("name")? }))
}

fn token(row: &Columns<'_>) -> Result<TokenView> {
    Ok(TokenView {
        id: row.uuid("id")?,
        profile: row.text("profile")?,
        uses: row.number("uses")?,
        uses_left: row.number("uses_left")?,
        expires_at: row.time("expires_at")?,
        created_at: row.time("created_at")?,
        created_by: row.text("created_by")?,
        revoked_at: row.maybe_time("revoked_at")?,
    })
}
