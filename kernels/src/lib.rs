//! Hand schedules and micro-kernels in loop-nest form.
