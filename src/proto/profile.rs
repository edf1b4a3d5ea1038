//! Traffic shape: which sizes records have (section 6).

use core::{fmt, str::FromStr};

use super::{error::Error, limits::RECORD_PLAINTEXT};

/// A traffic shape, from the most to the least revealing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Profile {
    /// Sizes and moments as they come: for trusted links and for measuring.
    Off,
    /// A few fixed sizes, moments as they come.
    #[default]
    Pad,
    /// One size on a fixed tick while an exchange is open. Reserved: not offered by this version.
    Paced,
    /// One size on a fixed tick from the hello to the end. Reserved: not offered by this version.
    Constant,
}

/// Plaintext sizes of [`Profile::Pad`] (section 6.1).
const PADDED: [usize; 6] = [512, 1024, 2048, 4096, 8192, RECORD_PLAINTEXT];

impl Profile {
    /// The strictest that this version offers.
    pub const STRICTEST: Self = Self::Pad;

    /// The number on the wire.
    pub const fn number(self) -> u64 {
        self as u64
    }

    /// The profile with this number.
    pub const fn from_number(number: u64) -> Result<Self, Error> {
        Ok(match number {
            0 => Self::Off,
            1 => Self::Pad,
            2 => Self::Paced,
            3 => Self::Constant,
            _ => return Err(Error::Malformed("a number out of its range")),
        })
    }

    /// The plaintext size of a record whose frames have `used` bytes (1 to [`RECORD_PLAINTEXT`]).
    pub fn padded(self, used: usize) -> usize {
        match self {
            Self::Off => used,
            _ => PADDED.into_iter().find(|&size| size >= used).unwrap_or(used),
        }
    }

    /// The name, as configurations have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Pad => "pad",
            Self::Paced => "paced",
            Self::Constant => "constant",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no profile of this version has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the profile is `off` or `pad` (`paced` and `constant` are planned)")]
pub struct UnknownProfile;

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        match text {
            "off" => Ok(Self::Off),
            "pad" => Ok(Self::Pad),
            _ => Err(UnknownProfile),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_version_offers_is_read_by_its_name_and_nothing_else() {
        let all = [Profile::Off, Profile::Pad, Profile::Paced, Profile::Constant];
        assert_eq!(all.map(|profile| profile.to_string()), ["off", "pad", "paced", "constant"]);
        let read = all.map(|profile| profile.name().parse::<Profile>());
        assert_eq!(read, [Ok(Profile::Off), Ok(Profile::Pad), Err(UnknownProfile), Err(UnknownProfile)]);
        assert_eq!(all.map(|profile| Profile::from_number(profile.number())), all.map(Ok));
        assert!(Profile::from_number(4).is_err());
    }

    #[test]
    fn pad_rounds_up_to_its_list() {
        let padded = |used| Profile::Pad.padded(used);
        assert_eq!([1, 512, 513, 9000, 16_384].map(padded), [512, 512, 1024, 16_384, 16_384]);
        assert_eq!(Profile::Off.padded(77), 77);
    }
}
