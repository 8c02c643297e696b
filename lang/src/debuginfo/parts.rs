//! Owns answering a question in parts, several at the same time where who has the bytes can do that, with the answers in
//! order. Never says what the parts are.

use std::sync::{Mutex, PoisonError};

use super::facts::DebugError;

/// Answers the parts by number, as [`crate::world::ReadAt::at_once`] lets `at_once` do it: all answers, in order, or the
/// first error.
///
/// # Errors
/// What `part` says, or [`DebugError::Read`] where `at_once` left a part out.
pub(super) fn in_order<T: Send>(
    parts: usize,
    at_once: impl FnOnce(usize, &(dyn Fn(usize) + Sync)) -> Result<(), DebugError>,
    part: impl Fn(usize) -> Result<T, DebugError> + Sync,
) -> Result<Vec<T>, DebugError> {
    let done = Mutex::new(Vec::new());
    at_once(parts, &|number| {
        let answer = part(number);
        done.lock().unwrap_or_else(PoisonError::into_inner).push((number, answer));
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    if done.len() != parts {
        return Err(DebugError::Read("parts of a file were not looked through".to_owned()));
    }
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All at the same time, the last one first.
    fn threads(parts: usize, part: &(dyn Fn(usize) + Sync)) -> Result<(), DebugError> {
        std::thread::scope(|scope| {
            for number in (0..parts).rev() {
                scope.spawn(move || part(number));
            }
        });
        Ok(())
    }

    #[test]
    fn answers_are_in_order_whatever_is_done_first() {
        assert_eq!(in_order(5, threads, |number| Ok(number * 2)), Ok(vec![0, 2, 4, 6, 8]));
        assert_eq!(in_order(0, threads, Ok), Ok(vec![]));
    }

    #[test]
    fn the_first_error_is_told_and_a_part_left_out_is_one() {
        let bad = |number: usize| match number {
            0 | 1 => Ok(()),
            _ => Err(DebugError::Read(number.to_string())),
        };
        assert_eq!(in_order(5, threads, bad), Err(DebugError::Read("2".to_owned())));
        let lazy = |parts: usize, part: &(dyn Fn(usize) + Sync)| {
            (1..parts).for_each(part);
            Ok(())
        };
        assert!(in_order(3, lazy, |_| Ok(())).is_err());
    }
}
