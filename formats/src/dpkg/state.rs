//! The three words of a `Status:` field: what is wanted, whether something is broken, how far dpkg has come.

/// A set of words and what they mean.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$variant_doc])* $variant),*
        }

        impl $type {
            /// dpkg's word for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }

            pub(crate) fn from_word(word: &[u8]) -> Option<Self> {
                [$(Self::$variant),*].into_iter().find(|known| known.word().as_bytes() == word)
            }
        }
    };
}

words! {
    /// What the administrator asked for.
    Want {
        /// Nothing yet.
        Unknown = "unknown",
        /// To be there and kept up to date.
        Install = "install",
        /// To be there and not touched by upgrades.
        Hold = "hold",
        /// To go, configuration kept.
        Deinstall = "deinstall",
        /// To go with its configuration.
        Purge = "purge",
    }
}

words! {
    /// Whether dpkg knows the package to be broken.
    Flag {
        /// Nothing known.
        Ok = "ok",
        /// Left so broken that only installing it again helps; its files may be a mixture.
        ReinstallRequired = "reinstreq",
    }
}

words! {
    /// How far dpkg has come with the package. Only [`Self::NotInstalled`] and [`Self::ConfigFiles`] have no programs.
    State {
        /// Not on the system.
        NotInstalled = "not-installed",
        /// Removed but for its configuration; its `.list` holds the conffiles only.
        ConfigFiles = "config-files",
        /// Being unpacked or removed, or that failed: files of the old and the new version may be there side by side.
        HalfInstalled = "half-installed",
        /// All files in place, not yet configured.
        Unpacked = "unpacked",
        /// Configuring began and has not ended well.
        HalfConfigured = "half-configured",
        /// Configured, waits for another package's trigger.
        TriggersAwaited = "triggers-awaited",
        /// Configured, has a trigger of its own to run.
        TriggersPending = "triggers-pending",
        /// Complete.
        Installed = "installed",
    }
}
