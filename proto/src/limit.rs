//! Every limit of the contract, by name. The inward conversions refuse what exceeds one; the outward conversions never produce it.
//! The numbers stand in the comments of the `.proto` files too; changing one is a change of the contract.

pub use doorward_policy::path::PATH_BYTES_MAX;

/// Version of the contract this crate speaks, as it stands in `Hello` and `Welcome`.
pub const PROTOCOL: u32 = 1;

/// Largest encoded message either side decodes, in bytes; give it to tonic's `max_decoding_message_size`.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Elements of all repeated fields in one message, counted before anything is allocated for them. A full batch of the smallest
/// inventories has some 42,000.
pub const MESSAGE_ELEMENTS_MAX: usize = 65_536;

/// Reports in one batch.
pub const BATCH_REPORTS_MAX: usize = 512;

/// Encoded bytes of one batch of reports.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// Encoded bytes any list inside a report is cut to on its way out, so that a report with two of them still fits a batch.
pub const LIST_BYTES_MAX: usize = 384 << 10;

/// Verdicts in one message.
pub const VERDICTS_MAX: usize = 512;

/// Bytes of records in one part of a policy snapshot, and of upserts and of removals in a delta.
pub const PART_BYTES_MAX: usize = 1 << 20;

/// Records in one policy.
pub const RECORDS_MAX: usize = 4_000_000;

/// Version rules in one policy.
pub const VERSION_RULES_MAX: usize = 512;

/// Bytes of all version rules of one policy.
pub const VERSION_RULES_BYTES_MAX: usize = 256 << 10;

/// Bytes of names: packages, versions, origins, publishers, hosts, profiles, threats, containers.
pub const NAME_BYTES_MAX: usize = doorward_policy::evidence::SOURCE_NAME_BYTES_MAX;

/// Names of a publisher's chain.
pub const CHAIN_NAMES_MAX: usize = doorward_policy::evidence::CHAIN_NAMES_MAX;

/// Bytes of a sentence for people: refusals, errors, reasons.
pub const SENTENCE_BYTES_MAX: usize = 255;

/// Bytes of a word: versions of programs, capabilities, codes, architectures, filesystem types.
pub const WORD_BYTES_MAX: usize = 64;

/// Capabilities in a `Hello`.
pub const CAPABILITIES_MAX: usize = 64;

/// Covered filesystems in a coverage report, and uncovered ones.
pub const COVERAGE_FILESYSTEMS_MAX: usize = 1024;

/// Sources in one inventory report.
pub const INVENTORY_SOURCES_MAX: usize = 20_000;

/// Paths in a turned report.
pub const TURNED_PATHS_MAX: usize = 64;

/// Live processes in a turned report.
pub const TURNED_PROCESSES_MAX: usize = 1024;

/// Failure counters in a health report.
pub const FAILURES_MAX: usize = 64;

/// Excluded path prefixes in a host's settings.
pub const EXCLUSIONS_MAX: usize = 256;

/// Trusted mount points in a host's settings.
pub const TRUSTED_MOUNTS_MAX: usize = 64;

/// Interpreters in a host's settings.
pub const INTERPRETERS_MAX: usize = 64;

/// Keys of repositories in a host's settings.
pub const ARCHIVE_KEYS_MAX: usize = 64;

/// Path prefixes in a command to scan.
pub const SCAN_ROOTS_MAX: usize = 64;

/// Certificates in a chain.
pub const CHAIN_CERTIFICATES_MAX: usize = 4;

/// Bytes of one certificate in DER.
pub const CERTIFICATE_BYTES_MAX: usize = 8 << 10;

/// Bytes of one certificate request in DER.
pub const CERTIFICATE_REQUEST_BYTES_MAX: usize = 8 << 10;

/// Bytes of an enrollment token's secret part.
pub const TOKEN_SECRET_BYTES_MAX: usize = 64;

/// Highest threat score.
pub const THREAT_SCORE_MAX: u8 = 10;
