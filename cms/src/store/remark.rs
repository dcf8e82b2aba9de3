//! Files that wait to be marked anew because something changed for many of them at once: a publication, or the removal of a host. They are
//! marked in steps, a transaction each, so that reports are taken in between; what waits is on disk and is taken up after a crash.

use doorward_policy::{HostId, ProfileId, Sha256};

use super::batch::{ROWS_MAX, any_of, digests};
use super::column::Columns;
use super::{Connection, Result, Store, mark, publication, record, sighting};
use crate::signals::Effect;

/// Files marked in one transaction: a tenth of a second, for which reports wait.
pub(super) const FILES_PER_STEP: u32 = 1024;

/// Takes files off a job's list; none when it is done.
pub(super) async fn take(work: &mut Connection, job: &[u8; 16]) -> Result<Vec<Sha256>> {
    const SELECT: &str = "SELECT sha256 FROM remark WHERE job = $1 ORDER BY sha256 LIMIT $2";
    let rows = sqlx::query(SELECT).bind(job.as_slice()).bind(FILES_PER_STEP).fetch_all(&mut *work).await?;
    let files = rows.iter().map(|row| Columns(row).sha256("sha256")).collect::<Result<Vec<_>>>()?;
    for chunk in files.chunks(ROWS_MAX) {
        let keys: Vec<_> = digests(chunk).collect();
        let mut delete = any_of("DELETE FROM remark WHERE sha256 IN", &keys, "AND job = ");
        delete.push_bind(job.to_vec()).build().execute(&mut *work).await?;
    }
    Ok(files)
}

/// Lists every file a host met.
pub(super) async fn files_of_host(work: &mut Connection, host: HostId) -> Result<()> {
    const INSERT: &str = "INSERT INTO remark (job, sha256) SELECT DISTINCT host_id, sha256 FROM observation WHERE host_id = $1 \
         ON CONFLICT (job, sha256) DO NOTHING";
    sqlx::query(INSERT).bind(host.as_bytes().as_slice()).execute(work).await?;
    Ok(())
}

impl Store {
    /// Finishes what was begun and cut short by the end of the program: publications and removals of hosts. For the start of the server.
    ///
    /// # Errors
    /// [`super::StoreError`]; what was not finished waits for the next time.
    pub async fn take_up(&self, now: i64) -> Result<Effect> {
        const REMOVED: &str = "SELECT r.job FROM remark r JOIN host h ON h.id = r.job LIMIT 1";
        let mut effect = Effect::default();
        while let Some(publication) = publication::under_way(&mut *self.reader.acquire().await?).await? {
            self.finish_publication(publication, now, &mut effect).await?;
        }
        while let Some(row) = sqlx::query(REMOVED).fetch_optional(&self.reader).await? {
            self.forget_proofs(Columns(&row).host("job")?, now, &mut effect).await?;
        }
        Ok(effect)
    }

    /// Marks what a removed host met without what it proved.
    pub(super) async fn forget_proofs(&self, host: HostId, now: i64, effect: &mut Effect) -> Result<()> {
        const PROFILE: &str = "SELECT profile_id FROM host WHERE id = $1";
        loop {
            let mut work = self.begin().await?;
            let files = take(&mut work, host.as_bytes()).await?;
            if files.is_empty() {
                return Ok(());
            }
            let row = sqlx::query(PROFILE).bind(host.as_bytes().as_slice()).fetch_one(&mut *work).await?;
            let profile: ProfileId = Columns(&row).profile("profile_id")?;
            sighting::sum_up(&mut work, profile, &files).await?;
            let marked = mark::mark(&mut work, &files, now, effect).await?;
            record::apply(&mut work, &marked.records, "rule", now, effect).await?;
            work.commit().await?;
        }
    }
}
