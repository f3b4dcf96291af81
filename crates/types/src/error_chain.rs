//! Errors in one line.

use std::error::Error;
use std::fmt;

/// An error with all reasons behind it, each after a colon: for a line of a log, or for a message
/// that is sent to where the reasons themselves cannot go.
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut message = self.0.to_string();
        f.write_str(&message)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let reason = error.to_string();
            // A variant that only wraps its source says the same.
            if reason != message {
                write!(f, ": {reason}")?;
            }
            message = reason;
            next = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|layer| layer as _)
        }
    }

    #[test]
    fn every_reason_is_named_once() {
        let bottom = Layer("no space left", None);
        let wrapper = Layer("no space left", Some(Box::new(bottom)));
        let top = Layer("cannot write", Some(Box::new(wrapper)));
        assert_eq!(ErrorChain(&top).to_string(), "cannot write: no space left");
    }
}
