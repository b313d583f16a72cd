//! Which engine runs here.

use std::path::Path;
use std::sync::Arc;

use super::{EmbeddedRuntime, HelperProgram, Runtime, RuntimeError};

/// The embedded engine where it can run (Linux, root, control groups).
///
/// # Errors
/// [`RuntimeError::NoRuntime`] says what each engine lacks.
pub async fn choose_runtime(state: &Path) -> Result<Arc<dyn Runtime>, RuntimeError> {
    match EmbeddedRuntime::why_not() {
        None => Ok(Arc::new(EmbeddedRuntime::open(state, HelperProgram::this_program())?)),
        Some(embedded) => Err(RuntimeError::NoRuntime { embedded, docker: "not built yet".to_owned() }),
    }
}
