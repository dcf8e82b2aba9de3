//! `Debug` for the one generated message that carries a secret.

use std::fmt;

use crate::v1;

impl fmt::Debug for v1::EnrollRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrollRequest").field("facts", &self.facts).finish_non_exhaustive()
    }
}
