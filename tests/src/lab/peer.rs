//! Another allowlisting daemon in a lab, for comparison: fapolicyd, with everything installed trusted and the rules it is shipped with.

use super::process::Process;
use super::root::Lab;
use super::warden::{Warden, holds_executions};
use crate::site::eventually;

const PROGRAM: &str = "/usr/sbin/fapolicyd";

/// Its own defaults but for: it says what it would deny and denies nothing, it stays root, it trusts a list of files (the distribution's
/// build knows no packages), and it watches the kinds of filesystems a lab has, by their mounts.
const CONFIGURATION: &str = "permissive = 1\nnice_val = 14\nq_size = 640\nuid = root\ngid = root\ndo_stat_report = 0\ndetailed_report = 0\n\
     db_max_size = 100\nsubj_cache_size = 1549\nobj_cache_size = 8191\nwatch_fs = ext4,tmpfs\ntrust = file\nintegrity = none\n\
     syslog_format = rule,dec,perm,auid,pid,exe,:,path,ftype,trust\nrpm_sha256_only = 0\nallow_filesystem_mark = 0\n";

/// The sample rules of its usual setting, in which programs and libraries must be trusted; $1 is a folder with more to trust.
const SETUP: &str = r#"set -e
samples=/usr/share/fapolicyd/sample-rules rules=/etc/fapolicyd/rules.d
rm -f $rules/*
for rule in 10-languages 20-dracut 21-updaters 30-patterns 40-bad-elf 41-shared-obj 42-trusted-elf 70-trusted-lang 72-shell \
    90-deny-execute 95-allow-open; do
    cp $samples/$rule.rules $rules/
done
fagenrules
mkdir -p /run/fapolicyd /var/lib/fapolicyd
rm -f /etc/fapolicyd/fapolicyd.trust /etc/fapolicyd/trust.d/*
find /usr "$1" -type f \( -perm /111 -o -name '*.so*' \) -printf '%p %s ' -exec sha256sum '{}' ';' |
    sed 's/^\([^ ]* [^ ]* [0-9a-f]*\) .*/\1/' > /etc/fapolicyd/fapolicyd.trust"#;

/// A running fapolicyd, killed when dropped.
pub struct Fapolicyd {
    /// Goes before the process, so that it never watches a stranger's.
    _warden: Warden,
    process: Process,
}

impl Lab {
    /// Sets up fapolicyd, which is installed, to trust every program and library of the system and of a folder.
    ///
    /// # Errors
    /// What could not be done.
    pub fn set_up_fapolicyd(&self, folder: &str) -> Result<(), String> {
        let ended = self.spawn(&["sh", "-c", SETUP, "sh", folder]).ended_within(super::workload::APT_LIMIT);
        self.write("/etc/fapolicyd/fapolicyd.conf", CONFIGURATION.as_bytes(), "644");
        if ended.success() { Ok(()) } else { Err(format!("{} {}", ended.stdout.trim(), ended.stderr.trim())) }
    }

    /// Starts it and waits until it holds executions and opens.
    ///
    /// # Panics
    /// When a filesystem of the machine can be seen from inside, or it does not come up.
    #[must_use]
    pub fn fapolicyd(&self) -> Fapolicyd {
        // SECURITY: it marks every mount of the kinds it is told to watch, without asking whose it is.
        self.assert_apart();
        let mut process = self.spawn(&[PROGRAM, "--debug-deny", "--no-details"]);
        let warden = Warden::watch(process.pid());
        eventually("fapolicyd holds executions", || {
            let ended = process.within(std::time::Duration::ZERO);
            assert!(ended.is_none(), "fapolicyd ended: {ended:?}");
            holds_executions(process.pid()).then_some(())
        });
        Fapolicyd { _warden: warden, process }
    }
}

impl Fapolicyd {
    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it complained of: what it would have denied, among other things.
    #[must_use]
    pub fn complaints(&self) -> String {
        self.process.complaints()
    }
}
