//! The system calls a job may make: a list of what ordinary programs use, everything else does not exist.
//!
//! It follows the shape of Docker's default profile for a container without capabilities, and is tighter where jobs do
//! not need it: no ptrace and no reading of other processes' memory, no 32-bit calls, only local and internet sockets.
//! A call that is not listed fails with ENOSYS, so that programs take the fallback they have for older kernels.
//! Not in the list, among others: mount and its new forms, unshare, setns, bpf, keyctl, io_uring, userfaultfd,
//! perf_event_open, kexec, module loading, open_by_handle_at, pivot_root, reboot, swapon, clock setting.

use serde_json::{Value, json};

/// "No such system call", see `errno(3)`.
const ENOSYS: u32 = 38;
/// Namespace flags of `clone(2)`: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const CLONE_NAMESPACES: u64 = 0x7E02_0000;
/// Address families a job may open: UNIX, INET, INET6, NETLINK (interface listing). No raw packets, VSOCK, ALG.
const SOCKET_FAMILIES: [u64; 4] = [1, 2, 10, 16];
/// Values of `personality(2)` that change nothing that matters: Linux, no randomisation asked, and "tell me".
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The profile as the `linux.seccomp` part of an OCI runtime specification.
pub(crate) fn profile() -> Value {
    let mut rules = vec![json!({ "names": allowed_names(), "action": "SCMP_ACT_ALLOW" })];
    rules.push(json!({
        "names": ["clone"],
        "action": "SCMP_ACT_ALLOW",
        "args": [{ "index": 0, "value": CLONE_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }],
    }));
    for (name, values) in [("socket", &SOCKET_FAMILIES[..]), ("personality", &PERSONALITIES[..])] {
        for value in values {
            rules.push(json!({
                "names": [name],
                "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }],
            }));
        }
    }
    json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": ENOSYS, "syscalls": rules })
}

fn allowed_names() -> Vec<&'static str> {
    [
        FILES,
        MEMORY,
        PROCESSES,
        IDENTITY,
        SIGNALS_AND_TIME,
        EVENTS_AND_IPC,
        NETWORK,
    ]
    .iter()
    .flat_map(|group| group.split_whitespace())
    .collect()
}

const FILES: &str = "
    access chdir chmod chown chroot close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock
    fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl io_cancel io_destroy io_getevents io_pgetevents
    io_setup io_submit lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat
    mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
    readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr
    splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat
    utime utimensat utimes vmsplice write writev name_to_handle_at fanotify_mark cachestat
";
const MEMORY: &str = "
    brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mprotect mremap
    msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages
    get_mempolicy mbind set_mempolicy
";
const PROCESSES: &str = "
    arch_prctl execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv futex_wake get_robust_list
    get_thread_area getcpu getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid gettid ioprio_get
    ioprio_set landlock_add_rule landlock_create_ruleset landlock_restrict_self modify_ldt pidfd_getfd pidfd_open prctl
    prlimit64 restart_syscall rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address setpgid setpriority setrlimit
    setsid sysinfo uname vfork wait4 waitid
";
const IDENTITY: &str = "
    capget capset getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups setregid
    setresgid setresuid setreuid setuid
";
const SIGNALS_AND_TIME: &str = "
    alarm clock_adjtime clock_getres clock_gettime clock_nanosleep getitimer gettimeofday adjtimex kill nanosleep pause
    pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_tgsigqueueinfo setitimer sigaltstack signalfd signalfd4 tgkill time timer_create timer_delete timer_getoverrun
    timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill
";
const EVENTS_AND_IPC: &str = "
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 getrandom mq_getsetattr
    mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 poll ppoll pselect6
    select semctl semget semop semtimedop shmat shmctl shmdt shmget
";
const NETWORK: &str = "
    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto
    setsockopt shutdown socketpair
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_out_of_a_container_is_not_in_the_list() {
        let names = allowed_names();
        for forbidden in [
            "mount",
            "umount2",
            "pivot_root",
            "unshare",
            "setns",
            "bpf",
            "keyctl",
            "add_key",
            "request_key",
            "ptrace",
            "process_vm_readv",
            "process_vm_writev",
            "io_uring_setup",
            "io_uring_enter",
            "userfaultfd",
            "perf_event_open",
            "kexec_load",
            "init_module",
            "finit_module",
            "delete_module",
            "open_by_handle_at",
            "reboot",
            "swapon",
            "settimeofday",
            "clock_settime",
            "sethostname",
            "syslog",
            "acct",
            "quotactl",
            "open_tree",
            "move_mount",
            "fsopen",
            "fsmount",
            "mount_setattr",
            "clone3",
            "vhangup",
            "iopl",
            "ioperm",
            "fanotify_init",
            "clone",
            "socket",
            "personality",
        ] {
            assert!(
                !names.contains(&forbidden),
                "{forbidden} is allowed without a condition"
            );
        }
    }

    #[test]
    fn no_name_is_listed_twice() {
        let mut names = allowed_names();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
