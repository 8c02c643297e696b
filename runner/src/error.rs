//! Owns what can go wrong outside a program's text: the system's failures, each with its code and way out. Drawing
//! them belongs to [`crate::report`].

use std::io;

use miette::Diagnostic;
use thiserror::Error;

/// A failure of the machine, the kernel or a file.
#[derive(Debug, Error, Diagnostic)]
pub enum Failure {
    /// A privilege is missing.
    #[error("ctp may not {action}")]
    #[diagnostic(code(E0401), help("run ctp as root, or give it {capability}"))]
    Privilege {
        /// What was tried.
        action: String,
        /// What would suffice.
        capability: String,
    },
    /// The kernel is too old, or built without something.
    #[error("this kernel has no {feature}")]
    #[diagnostic(code(E0402))]
    Kernel {
        /// What it lacks.
        feature: String,
        /// From which version on, or with which configuration, a kernel has it.
        #[help]
        needs: String,
    },
    /// The kernel's verifier refused a program.
    #[error("the kernel refused the program: {reason}")]
    #[diagnostic(code(E0403))]
    Refused {
        /// The verifier's last words.
        reason: String,
        /// What to do.
        #[help]
        help: String,
    },
    /// A probe could not be attached.
    #[error("cannot attach to {target}: {reason}")]
    #[diagnostic(code(E0404))]
    Attach {
        /// The file and container.
        target: String,
        /// Why.
        reason: String,
        /// What to do.
        #[help]
        help: Option<String>,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {path}")]
    #[diagnostic(code(E0405))]
    File {
        /// `read`, `write`.
        action: &'static str,
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Something the machine should have is not there.
    #[error("{what}")]
    #[diagnostic(code(E0407))]
    Environment {
        /// What is wrong.
        what: String,
        /// What to do.
        #[help]
        help: Option<String>,
    },
}
