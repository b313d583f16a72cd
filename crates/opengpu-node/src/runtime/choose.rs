//! Which engine runs here.

use std::path::Path;
use std::sync::Arc;

use super::{DockerRuntime, EmbeddedRuntime, HelperProgram, Runtime, RuntimeError};

/// The embedded engine where it can run (Linux, root, control groups), otherwise Docker where it answers.
///
/// # Errors
/// [`RuntimeError::NoRuntime`] says what each engine lacks.
pub async fn choose_runtime(state: &Path) -> Result<Arc<dyn Runtime>, RuntimeError> {
    let Some(embedded) = EmbeddedRuntime::why_not() else {
        return Ok(Arc::new(EmbeddedRuntime::open(state, HelperProgram::this_program())?));
    };
    match DockerRuntime::connect(state).await {
        Ok(docker) => Ok(Arc::new(docker)),
        Err(error) => Err(RuntimeError::NoRuntime {
            embedded,
            docker: error.to_string(),
        }),
    }
}
