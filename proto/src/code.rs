//! What can go wrong between two programs, in a dozen codes, each mapped once to gRPC and to the
//! exit code of a program that ends because of it.

use tonic::{Code as Grpc, Status};
use tributary_common::session::refusal::RefusalCode;

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The command line makes no sense.
    Usage,
    /// A message or file that breaks its format.
    Invalid,
    /// The two sides do not fit: protocol, run, environment, configuration.
    Mismatch,
    /// The other side does not know who this is.
    Unauthorized,
    /// There is no such thing.
    NotFound,
    /// More than a limit allows.
    TooLarge,
    /// A newer session exists.
    Fenced,
    /// No room now.
    Overloaded,
    /// Nobody answers, or the connection broke.
    Unavailable,
    /// It took too long.
    TimedOut,
    /// Somebody asked to stop.
    Interrupted,
    /// The words exist, the program behind them does not yet.
    NotBuilt,
    /// An error in this program.
    Bug,
}

impl Code {
    /// All of them.
    pub const ALL: [Code; 13] = [
        Code::Usage,
        Code::Invalid,
        Code::Mismatch,
        Code::Unauthorized,
        Code::NotFound,
        Code::TooLarge,
        Code::Fenced,
        Code::Overloaded,
        Code::Unavailable,
        Code::TimedOut,
        Code::Interrupted,
        Code::NotBuilt,
        Code::Bug,
    ];

    /// Whether the same may work later without anybody changing anything.
    pub fn retryable(self) -> bool {
        matches!(self, Code::Overloaded | Code::Unavailable | Code::TimedOut)
    }

    /// The gRPC status code that says this.
    pub fn grpc(self) -> Grpc {
        match self {
            Code::Usage | Code::Invalid => Grpc::InvalidArgument,
            Code::Mismatch => Grpc::FailedPrecondition,
            Code::Unauthorized => Grpc::PermissionDenied,
            Code::NotFound => Grpc::NotFound,
            Code::TooLarge => Grpc::OutOfRange,
            Code::Fenced => Grpc::Aborted,
            Code::Overloaded => Grpc::ResourceExhausted,
            Code::Unavailable => Grpc::Unavailable,
            Code::TimedOut => Grpc::DeadlineExceeded,
            Code::Interrupted => Grpc::Cancelled,
            Code::NotBuilt => Grpc::Unimplemented,
            Code::Bug => Grpc::Internal,
        }
    }

    /// The exit code of a program that ends because of this: 64 usage, 70 bug, 75 try again,
    /// 78 configuration, 130 interrupted.
    pub fn exit_code(self) -> u8 {
        match self {
            Code::Usage => 64,
            Code::Invalid | Code::Bug => 70,
            Code::Fenced | Code::Overloaded | Code::Unavailable | Code::TimedOut => 75,
            Code::Mismatch
            | Code::Unauthorized
            | Code::NotFound
            | Code::TooLarge
            | Code::NotBuilt => 78,
            Code::Interrupted => 130,
        }
    }

    /// What a status received from the other side means here. Statuses that tonic makes by itself
    /// are mapped, too: a broken stream is `Unknown`, `Internal` or `Cancelled` there, and worth
    /// another try.
    pub fn of_status(status: &Status) -> Code {
        match status.code() {
            Grpc::InvalidArgument => Code::Invalid,
            Grpc::FailedPrecondition => Code::Mismatch,
            Grpc::PermissionDenied | Grpc::Unauthenticated => Code::Unauthorized,
            Grpc::NotFound => Code::NotFound,
            Grpc::OutOfRange => Code::TooLarge,
            Grpc::Aborted => Code::Fenced,
            Grpc::ResourceExhausted => Code::Overloaded,
            Grpc::DeadlineExceeded => Code::TimedOut,
            Grpc::Unimplemented => Code::NotBuilt,
            Grpc::Ok
            | Grpc::Cancelled
            | Grpc::Unknown
            | Grpc::Internal
            | Grpc::Unavailable
            | Grpc::DataLoss
            | Grpc::AlreadyExists => Code::Unavailable,
        }
    }

    /// A status with this code.
    pub fn status(self, message: impl ToString) -> Status {
        Status::new(self.grpc(), message.to_string())
    }
}

impl Code {
    /// What a refused actor ends with; `None`: the run is over, which is a success.
    pub fn of_refusal(refusal: RefusalCode) -> Option<Code> {
        match refusal {
            RefusalCode::Protocol | RefusalCode::Run | RefusalCode::Fingerprint => {
                Some(Code::Mismatch)
            }
            RefusalCode::Identity => Some(Code::Unauthorized),
            RefusalCode::Full => Some(Code::Overloaded),
            RefusalCode::ProtocolError => Some(Code::Bug),
            RefusalCode::Complete => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_survives_its_status() {
        for code in Code::ALL {
            let there = Code::of_status(&code.status("why"));
            let expected = match code {
                Code::Usage => Code::Invalid,
                Code::Bug | Code::Interrupted => Code::Unavailable,
                other => other,
            };
            assert_eq!(there, expected, "{code:?}");
        }
    }

    #[test]
    fn what_may_work_later_exits_with_try_again() {
        for code in Code::ALL {
            assert!([64, 70, 75, 78, 130].contains(&code.exit_code()), "{code:?}");
            assert!(!code.retryable() || code.exit_code() == 75, "{code:?}");
        }
    }
}
