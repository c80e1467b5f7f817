//! Values that may not leave, and values that may.

/// A value that one patient's rows influence without noise.
///
/// It has no `Debug`, no `Display`, no `Clone`, no serialisation, and no way out but
/// [`Mechanism::release`](crate::Mechanism::release).
///
/// ```compile_fail
/// let s = privacy::Sensitive::new(1);
/// println!("{s:?}");
/// ```
/// ```compile_fail
/// let s = privacy::Sensitive::new(1);
/// let twice = s.clone();
/// ```
/// ```compile_fail
/// let s = privacy::Sensitive::new(1);
/// let open = s.0;
/// ```
/// ```compile_fail
/// fn sent<T: serde::Serialize>(_: &T) {}
/// sent(&privacy::Sensitive::new(1));
/// ```
pub struct Sensitive<T>(T);

impl<T> Sensitive<T> {
    /// Closes over a value.
    pub fn new(value: T) -> Sensitive<T> {
        Sensitive(value)
    }

    /// Looks at it, inside this room alone.
    pub(crate) fn peek(&self) -> &T {
        &self.0
    }

    /// Opens it, inside this room alone.
    pub(crate) fn open(self) -> T {
        self.0
    }
}

/// A value with its noise in it. Only a mechanism makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Released<T>(T);

impl<T> Released<T> {
    pub(crate) fn new(value: T) -> Released<T> {
        Released(value)
    }

    /// The value: it may leave.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The value, owned.
    pub fn into_inner(self) -> T {
        self.0
    }
}
