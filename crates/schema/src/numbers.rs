//! Numbers of JSON, compared by value and without rounding.

use std::cmp::Ordering;

use serde_json::Number;

/// Powers of ten up to here leave room for the digits of a double beside them.
const DECIMALS_MAX: usize = 18;

/// How two numbers compare: `1` and `1.0` are equal, and no integer is rounded.
pub(crate) fn order(left: &Number, right: &Number) -> Ordering {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(left), None) => order_with_double(left, double(right)),
        (None, Some(right)) => order_with_double(right, double(left)).reverse(),
        // `total_cmp` would tell the two zeros apart.
        (None, None) => double(left)
            .partial_cmp(&double(right))
            .unwrap_or(Ordering::Equal),
    }
}

/// Whether `number` is a multiple of `divisor`, as far as that can be said without rounding.
pub(crate) fn is_multiple(number: &Number, divisor: &Number) -> bool {
    if order(number, divisor) == Ordering::Equal {
        return true;
    }
    let (Some(number), Some(divisor)) = (Decimal::parse(number), Decimal::parse(divisor)) else {
        return false;
    };
    let decimals = number.decimals.max(divisor.decimals);
    match (number.scaled_to(decimals), divisor.scaled_to(decimals)) {
        (Some(number), Some(divisor)) => divisor > 0 && number % divisor == 0,
        _ => false,
    }
}

/// A count as schemas write it: an integer, or a double without a fraction.
pub(crate) fn count(number: &Number) -> u64 {
    // A conversion from a double saturates, and no payload has that many of anything.
    number.as_u64().unwrap_or_else(|| double(number) as u64)
}

fn double(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

fn order_with_double(integer: i128, double: f64) -> Ordering {
    // Every integer of a `Number` is well within this, and every double below it converts exactly.
    const BOUND: f64 = 1e30;
    if double >= BOUND {
        return Ordering::Less;
    }
    if double <= -BOUND {
        return Ordering::Greater;
    }
    let floor = double.floor();
    let fraction_above = if double > floor {
        Ordering::Less
    } else {
        Ordering::Equal
    };
    integer.cmp(&(floor as i128)).then(fraction_above)
}

/// `digits / 10^decimals`
struct Decimal {
    digits: i128,
    decimals: usize,
}

impl Decimal {
    fn parse(number: &Number) -> Option<Self> {
        if let Some(digits) = number.as_i128() {
            return Some(Self {
                digits,
                decimals: 0,
            });
        }
        // A double displays without an exponent, and with the fewest digits that mean it.
        let text = double(number).to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let digits = format!("{whole}{fraction}").parse().ok()?;
        (fraction.len() <= DECIMALS_MAX).then_some(Self {
            digits,
            decimals: fraction.len(),
        })
    }

    fn scaled_to(&self, decimals: usize) -> Option<i128> {
        let places = u32::try_from(decimals - self.decimals).ok()?;
        self.digits.checked_mul(10_i128.checked_pow(places)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn integers_beside_doubles_are_not_rounded() {
        let exact = number("9007199254740993");
        assert_eq!(
            order(&exact, &number("9007199254740992.0")),
            Ordering::Greater
        );
        assert_eq!(order(&number("9007199254740992.0"), &exact), Ordering::Less);
        assert_eq!(order(&number("1"), &number("1.0")), Ordering::Equal);
        assert_eq!(order(&number("0"), &number("-0.0")), Ordering::Equal);
        assert_eq!(order(&number("-1"), &number("-1.5")), Ordering::Greater);
        assert_eq!(
            order(&number("18446744073709551615"), &number("1e300")),
            Ordering::Less
        );
    }

    #[test]
    fn multiples_are_those_of_the_decimals_as_written() {
        assert!(is_multiple(&number("0.1"), &number("0.01")));
        assert!(is_multiple(&number("10"), &number("2.5")));
        assert!(!is_multiple(&number("0.25"), &number("0.1")));
        assert!(!is_multiple(&number("5"), &number("1e-300")));
        assert!(is_multiple(&number("1e-300"), &number("1e-300")));
    }
}
