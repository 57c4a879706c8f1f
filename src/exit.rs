//! Why the process ends, as a code that scripts can act on.

/// Exit codes; the numbers are those of `sysexits.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 1: an instance is not alive or not ready. The one code that container engines know for it.
    Unhealthy,
    /// 2: `topics plan` shows something to do.
    Pending,
    /// 64: wrong arguments.
    Usage,
    /// 65: unusable input, or more dead letters than the limit.
    Data,
    /// 69: Kafka or another process cannot be reached, or the outcome of the last commit is unknown.
    Unavailable,
    /// 70: a bug.
    Internal,
    /// 77: the broker, the file system or the server refuses permission.
    Permission,
    /// 78: the configuration, the topic layout, or a transactional id that another process uses.
    Configuration,
}

impl Exit {
    /// The number that the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Unhealthy => 1,
            Self::Pending => 2,
            Self::Usage => 64,
            Self::Data => 65,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::Permission => 77,
            Self::Configuration => 78,
        }
    }
}

/// The end of a command that did not succeed: one message with what to do, and a code.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure with an error and its causes; `Display` prints the whole chain.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// A failure in one sentence.
    pub fn message(exit: Exit, message: impl std::fmt::Display) -> Self {
        Self::new(exit, anyhow::Error::msg(message.to_string()))
    }
}

/// What a failed write to standard output means: nothing, if the reader has closed it, as `head` does.
///
/// # Errors
/// Any other reason.
pub fn output_closed(error: std::io::Error) -> Result<(), Failure> {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(Failure::new(Exit::Unavailable, error))
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:#}", self.error)
    }
}
