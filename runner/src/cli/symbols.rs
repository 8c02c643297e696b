//! Owns the flags that say where debug info is looked for, the same for every subcommand that reads it.

use std::path::PathBuf;

use clap::Args;

use crate::symbols::Places;

/// Where debug info is looked for, besides the file itself, its container and the host's /usr/lib/debug.
#[derive(Args, Clone, Debug, Default)]
pub struct Symbols {
    /// Look for debug info in a folder of the host too; may be given several times
    #[arg(long, value_name = "DIR")]
    pub debuginfo: Vec<PathBuf>,
    /// Ask a debuginfod server, besides those of DEBUGINFOD_URLS; may be given several times
    #[arg(long, value_name = "URL")]
    pub debuginfod: Vec<String>,
}

impl Symbols {
    /// These places and those of the environment.
    pub fn places(&self) -> Places {
        Places::from_env(&self.debuginfo, &self.debuginfod)
    }
}
