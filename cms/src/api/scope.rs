//! Names in requests, found: profiles, hosts, and the scope a decision is for.

use doorward_policy::{HostId, ProfileId};
use serde::{Deserialize, Serialize};

use super::{Api, Problem};
use crate::profile::{GLOBAL, GLOBAL_NAME};
use crate::store::{Host, Profile};

/// How far a person's decision reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reach {
    /// One profile, named beside it.
    Profile,
    /// All profiles.
    Global,
}

impl Api {
    /// A profile, or the global scope, by name.
    pub(super) async fn profile_or_global(&self, name: &str) -> Result<Profile, Problem> {
        let found = self.store().profile(name).await?;
        found.ok_or_else(|| Problem::not_found(format!("there is no profile {name:?}; `doorward-cms profile list` names them")))
    }

    /// A profile by name.
    pub(super) async fn profile(&self, name: &str) -> Result<Profile, Problem> {
        if name == GLOBAL_NAME {
            return Err(Problem::conflict("the global scope is no profile: it has lists, but neither settings nor hosts"));
        }
        self.profile_or_global(name).await
    }

    /// The owner of a decision.
    pub(super) async fn owner(&self, reach: Reach, profile: Option<&str>) -> Result<ProfileId, Problem> {
        match (reach, profile) {
            (Reach::Global, None) => Ok(GLOBAL),
            (Reach::Global, Some(_)) => Err(Problem::invalid("scope \"global\" takes no profile")),
            (Reach::Profile, None) => Err(Problem::invalid("scope \"profile\" needs a profile")),
            (Reach::Profile, Some(name)) => Ok(self.profile(name).await?.id),
        }
    }

    /// A host by id, removed or not, or by a name that only one host has.
    pub(super) async fn host(&self, text: &str) -> Result<Host, Problem> {
        let missing = || Problem::not_found(format!("there is no host {text:?}; `doorward-cms host list` names them"));
        if let Ok(id) = text.parse::<HostId>() {
            return self.store().host(id).await?.ok_or_else(missing);
        }
        let mut named = self.store().hosts_named(text).await?;
        match (named.pop(), named.is_empty()) {
            (None, _) => Err(missing()),
            (Some(host), true) => Ok(host),
            (Some(_), false) => {
                Err(Problem::conflict(format!("several hosts call themselves {text:?}; give the id, `doorward-cms host list` names them")))
            }
        }
    }

    /// A host that may connect.
    pub(super) async fn living_host(&self, text: &str) -> Result<Host, Problem> {
        let host = self.host(text).await?;
        match host.removed_at {
            None => Ok(host),
            Some(_) => Err(Problem::conflict(format!("host {} was removed; to have it again, enroll it anew", host.id))),
        }
    }
}
