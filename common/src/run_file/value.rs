//! What may stand behind a key, and how it is read from TOML and written back.

use std::path::PathBuf;

use super::description::Form;
use toml::Value as Toml;

/// A type that a key of the run file can have.
pub trait Value: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// What was expected instead, as "expected a whole number".
    fn read(value: &Toml) -> Result<Self, String>;

    /// The value such that `read` gives it back, or `None` for a key that is left out.
    fn write(&self) -> Option<Toml>;

    /// What may be written, for the reference of keys: by default what `read` says that it expects.
    #[must_use]
    fn form() -> Form {
        Form::expected::<Self>()
    }
}

impl Value for bool {
    fn read(value: &Toml) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| "expected true or false".to_owned())
    }
    fn write(&self) -> Option<Toml> {
        Some(Toml::Boolean(*self))
    }
}

/// TOML's whole numbers end at 2^63 - 1.
impl Value for u64 {
    fn read(value: &Toml) -> Result<Self, String> {
        let number = value.as_integer().ok_or("expected a whole number")?;
        Self::try_from(number).map_err(|_| "expected a whole number, 0 or more".to_owned())
    }
    fn write(&self) -> Option<Toml> {
        Some(Toml::Integer(i64::try_from(*self).unwrap_or(i64::MAX)))
    }
}

impl Value for usize {
    fn read(value: &Toml) -> Result<Self, String> {
        let number = u64::read(value)?;
        Self::try_from(number).map_err(|_| "expected a smaller whole number".to_owned())
    }
    fn write(&self) -> Option<Toml> {
        Some(Toml::Integer(i64::try_from(*self).unwrap_or(i64::MAX)))
    }
}

impl Value for u32 {
    fn read(value: &Toml) -> Result<Self, String> {
        let number = u64::read(value)?;
        Self::try_from(number).map_err(|_| "expected a smaller whole number".to_owned())
    }
    fn write(&self) -> Option<Toml> {
        Some(Toml::Integer(i64::from(*self)))
    }
}

/// Finite numbers only; a whole number is a number.
impl Value for f64 {
    fn read(value: &Toml) -> Result<Self, String> {
        match value {
            Toml::Float(number) if number.is_finite() => Ok(*number),
            Toml::Float(_) => Err("expected a finite number".to_owned()),
            #[allow(clippy::cast_precision_loss)]
            Toml::Integer(number) => Ok(*number as f64),
            _ => Err("expected a number".to_owned()),
        }
    }
    fn write(&self) -> Option<Toml> {
        Some(Toml::Float(*self))
    }
}

impl Value for String {
    fn read(value: &Toml) -> Result<Self, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| "expected text in quotes".to_owned())
    }
    fn write(&self) -> Option<Toml> {
        Some(Toml::String(self.clone()))
    }
}

/// A file or a folder.
impl Value for PathBuf {
    fn read(value: &Toml) -> Result<Self, String> {
        String::read(value).map(Self::from)
    }
    fn write(&self) -> Option<Toml> {
        Some(Toml::String(self.to_string_lossy().into_owned()))
    }
}

impl<V: Value> Value for Vec<V> {
    fn read(value: &Toml) -> Result<Self, String> {
        let items = value.as_array().ok_or("expected a list, such as [..., ...]")?;
        let read_item = |(index, item): (usize, &Toml)| {
            V::read(item).map_err(|why| format!("item {}, {}: {why}", index + 1, shown(item)))
        };
        items.iter().enumerate().map(read_item).collect()
    }
    fn write(&self) -> Option<Toml> {
        Some(Toml::Array(self.iter().filter_map(Value::write).collect()))
    }
    fn form() -> Form {
        let entry = V::form();
        Form { words: format!("a list, each entry {}", entry.words), ..entry }
    }
}

/// A key without a default: left out is `None`.
impl<V: Value> Value for Option<V> {
    fn read(value: &Toml) -> Result<Self, String> {
        V::read(value).map(Some)
    }
    fn write(&self) -> Option<Toml> {
        self.as_ref().and_then(Value::write)
    }
    fn form() -> Form {
        V::form()
    }
}

/// A value as messages show it, cut when it is long.
pub(super) fn shown(value: &Toml) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("...".chars()).collect()
}

/// Declares an enum whose variants are named by words in the run file, with its [`Value`]; the
/// reference of keys says of each word what its variant's documentation says:
///
/// ```
/// tributary_common::choices! {
///     /// Which end of a word grows.
///     pub enum End {
///         /// The first letter.
///         Left = "left",
///         /// The last letter.
///         Right = "right",
///     }
/// }
/// assert_eq!(End::Left.name(), "left");
/// ```
#[macro_export]
macro_rules! choices {
    (@documentation doc = $text:literal) => { $text };
    (@documentation $($other:tt)*) => { "" };
    ($(#[$enum_meta:meta])* $visibility:vis enum $name:ident {
        $($(#[$($meta:tt)*])* $variant:ident = $word:literal),+ $(,)?
    }) => {
        $(#[$enum_meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name { $($(#[$($meta)*])* $variant),+ }

        impl $name {
            /// The word for it in the run file.
            #[must_use]
            $visibility fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl $crate::run_file::Value for $name {
            fn read(value: &$crate::run_file::Toml) -> Result<Self, String> {
                match value.as_str() {
                    $(Some($word) => Ok(Self::$variant),)+
                    _ => Err($crate::run_file::expected_one_of(&[$($word),+])),
                }
            }
            fn write(&self) -> Option<$crate::run_file::Toml> {
                Some($crate::run_file::Toml::String(self.name().to_owned()))
            }
            fn form() -> $crate::run_file::Form {
                $crate::run_file::Form::one_of(&[$((
                    $word,
                    concat!($($crate::choices!(@documentation $($meta)*)),*),
                )),+])
            }
        }
    };
}

/// "expected one of "a", "b"", or "expected "a"" where there is one word only.
#[must_use]
pub fn expected_one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    let one_of = if words.len() > 1 { "one of " } else { "" };
    format!("expected {one_of}{}", quoted.join(", "))
}
