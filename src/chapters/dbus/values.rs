//! Arguments from the command line, by a signature; results as text.

use anyhow::{Result, bail};
use zbus::names::{InterfaceName, MemberName};
use zbus::wire::StructureBuilder;
use zbus::{ObjectPath, Signature, Structure, Variant};

use wire::errors::usage;
use wire::say::count;

/// The arguments that `signature` gives types to; `None` if there are none.
///
/// # Errors
/// Usage: too few arguments, too many, or one that is not of its type.
///
/// ```
/// use ipclab_chapters::dbus::values::arguments;
/// let words = ["7".to_owned(), "seven".to_owned()];
/// assert!(arguments("us", &words).is_ok());
/// assert!(arguments("uu", &words).is_err());
/// assert!(arguments("u", &words).is_err());
/// ```
pub fn arguments(
    signature: &str,
    words: &[String],
) -> Result<Option<Structure<'static>>> {
    let (types, given) = (signature.chars().count(), words.len());
    if types != given {
        return Err(usage(format!(
            "the signature {signature:?} has {}, and {} {} given",
            count(types as u64, "type"),
            count(given as u64, "argument"),
            if given == 1 { "is" } else { "are" },
        )));
    }
    let mut body = StructureBuilder::new();
    for (kind, word) in signature.chars().zip(words) {
        body.push_value(argument(kind, word)?);
    }
    Ok(body.build().ok())
}

fn argument(kind: char, word: &str) -> Result<Variant<'static>> {
    fn number<T>(kind: char, word: &str) -> Result<Variant<'static>>
    where
        T: std::str::FromStr + Into<Variant<'static>>,
    {
        let name = std::any::type_name::<T>();
        word.parse::<T>().map(Into::into).map_err(|_| {
            usage(format!("{word:?} is no {name}, which the type {kind} stands for"))
        })
    }
    match kind {
        'y' => number::<u8>(kind, word),
        'b' => number::<bool>(kind, word),
        'n' => number::<i16>(kind, word),
        'q' => number::<u16>(kind, word),
        'i' => number::<i32>(kind, word),
        'u' => number::<u32>(kind, word),
        'x' => number::<i64>(kind, word),
        't' => number::<u64>(kind, word),
        'd' => number::<f64>(kind, word),
        's' => Ok(word.to_owned().into()),
        'o' => match ObjectPath::try_from(word.to_owned()) {
            Ok(path) => Ok(path.into()),
            Err(_) => Err(usage(format!("{word:?} is no object path, like /org/a"))),
        },
        'g' => match Signature::try_from(word) {
            Ok(signature) => Ok(signature.into()),
            Err(_) => Err(usage(format!("{word:?} is no signature"))),
        },
        _ => Err(usage(format!(
            "the type {kind:?} cannot be given here: only y b n q i u x t d s o g"
        ))),
    }
}

/// A result as text, a line for each value: an element of an array, a field of a reply.
/// The fields of a structure stand on one line, with tabs between them.
pub fn lines(body: &Structure<'_>) -> Vec<String> {
    body.fields().iter().flat_map(rows).collect()
}

/// The fields of a signal on one line, with tabs between them.
pub fn row(body: &Structure<'_>) -> String {
    let cells: Vec<_> = body.fields().iter().map(cell).collect();
    cells.join("\t")
}

fn rows(value: &Variant<'_>) -> Vec<String> {
    match value {
        Variant::Array(array) => array.inner().iter().map(cell).collect(),
        Variant::Dict(dict) => {
            dict.iter().map(|(key, value)| cell(key) + "\t" + &cell(value)).collect()
        }
        Variant::Variant(inner) => rows(inner),
        other => vec![cell(other)],
    }
}

fn cell(value: &Variant<'_>) -> String {
    match value {
        Variant::Str(text) => text.to_string(),
        Variant::ObjectPath(path) => path.to_string(),
        Variant::Signature(signature) => signature.to_string(),
        Variant::U8(number) => number.to_string(),
        Variant::Bool(truth) => truth.to_string(),
        Variant::I16(number) => number.to_string(),
        Variant::U16(number) => number.to_string(),
        Variant::I32(number) => number.to_string(),
        Variant::U32(number) => number.to_string(),
        Variant::I64(number) => number.to_string(),
        Variant::U64(number) => number.to_string(),
        Variant::F64(number) => number.to_string(),
        Variant::Variant(inner) => cell(inner),
        Variant::Structure(fields) => row(fields),
        Variant::Array(_) | Variant::Dict(_) => rows(value).join(" "),
        Variant::Fd(_) => "a descriptor".into(),
    }
}

/// A method's interface and name: the part before the last dot, or else `default`.
///
/// # Errors
/// Usage: a text that cannot be a name.
pub fn method<'a>(text: &'a str, default: &'a str) -> Result<(&'a str, &'a str)> {
    let (interface, member) = text.rsplit_once('.').unwrap_or((default, text));
    if member.is_empty() || interface.is_empty() {
        bail!(usage(format!("{text:?} is no method")));
    }
    if InterfaceName::try_from(interface).is_err() {
        bail!(usage(format!("{interface:?} is no interface name, like org.a.B")));
    }
    if MemberName::try_from(member).is_err() {
        bail!(usage(format!(
            "{member:?} is no member name: letters, digits and _, no digit first"
        )));
    }
    Ok((interface, member))
}

/// Looks whether `path` can name an object.
///
/// # Errors
/// Usage: `path` cannot.
pub fn object(path: &str) -> Result<()> {
    match ObjectPath::try_from(path) {
        Ok(_) => Ok(()),
        Err(_) => {
            bail!(usage(format!("--object {path:?} is no object path, like /org/a")))
        }
    }
}
