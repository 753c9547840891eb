//! A Slurm of one's own: munged, slurmctld and a slurmd for each of four nodes, all on 127.0.0.1, as the user who
//! runs the test, with nothing written outside one folder. They end with the test, however that ends.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::run::{TRIBUTARY, wait_for};

pub(crate) const NODES: usize = 4;
/// Each node says that it has so many.
const CPUS: usize = 4;

pub(crate) struct Cluster {
    folder: TempDir,
    munge: Option<Child>,
    controller: Option<Child>,
    nodes: Vec<Option<Child>>,
}

impl Cluster {
    /// Starts everything, and waits until all nodes are idle.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut cluster = Self { folder, munge: None, controller: None, nodes: Vec::new() };
        cluster.configure();
        cluster.munge = Some(cluster.start_munge());
        cluster.start_controller();
        cluster.nodes = (0..NODES).map(|_| None).collect();
        (1..=NODES).for_each(|node| cluster.start_node(node));
        wait_for("idle nodes", || {
            let idle =
                cluster.ask("sinfo", &["-h", "-N", "-p", "all", "-t", "idle", "-o", "%N"])?;
            (idle.lines().count() == NODES).then_some(())
        });
        cluster
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A command that knows this cluster.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.file("slurm.conf")).stdin(Stdio::null());
        // Where actors keep data files and what is not acked: jobs inherit it.
        command.env("XDG_STATE_HOME", self.path()).env("TRIBUTARY_CACHE", self.path());
        command.current_dir(self.path());
        command
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().expect("it starts")
    }

    /// What one of Slurm's commands prints; `None` where it fails.
    pub(crate) fn ask(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output = self.run(program, arguments);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn start_munge(&self) -> Child {
        let folder = self.file("munge");
        fs::create_dir(&folder).expect("made");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("rights");
        let mut key = vec![0; 1024];
        let mut random = fs::File::open("/dev/urandom").expect("random numbers");
        std::io::Read::read_exact(&mut random, &mut key).expect("random numbers");
        fs::write(folder.join("key"), key).expect("written");
        fs::set_permissions(folder.join("key"), fs::Permissions::from_mode(0o600)).expect("rights");
        let option = |name: &str, file: &str| format!("--{name}={}", folder.join(file).display());
        let socket = folder.join("socket");
        let child = self.daemon(
            "munged",
            &[
                "--foreground",
                "--force",
                &option("key-file", "key"),
                &option("socket", "socket"),
                &option("pid-file", "pid"),
                &option("log-file", "log"),
                &option("seed-file", "seed"),
            ],
        );
        wait_for("munged", || socket.exists().then_some(()));
        child
    }

    pub(crate) fn start_controller(&mut self) {
        self.controller = Some(self.daemon("slurmctld", &["-D"]));
    }

    pub(crate) fn kill_controller(&mut self) {
        end(&mut self.controller);
    }

    pub(crate) fn start_node(&mut self, node: usize) {
        let daemon = self.daemon("slurmd", &["-D", "-N", &format!("n{node}")]);
        self.nodes[node - 1] = Some(daemon);
    }

    /// Ends a node's daemon at once; what runs on the node goes on.
    pub(crate) fn kill_node(&mut self, node: usize) {
        end(&mut self.nodes[node - 1]);
    }

    /// A program that the kernel ends when this process does.
    fn daemon(&self, program: &str, arguments: &[&str]) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.file(program));
        let log = log.expect("a log");
        self.command(TRIBUTARY)
            .args(["child", &std::process::id().to_string(), "--", &located(program)])
            .args(arguments)
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("it starts")
    }

    fn configure(&self) {
        let user = Command::new("id").arg("-un").output().expect("a user").stdout;
        let user = String::from_utf8(user).expect("a name").trim().to_owned();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
        let host = host.trim().split('.').next().expect("a name");
        // All are held until the last is known.
        let ports: Vec<TcpListener> =
            (0..=NODES).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let port = |i: usize| ports[i].local_addr().expect("a port").port();
        let folder = self.path().display();
        for name in ["state", "spool"] {
            fs::create_dir(self.file(name)).expect("made");
        }
        let mut text = format!(
            "\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
KillWait=15
MinJobAge=300
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
",
            controller = port(0),
        );
        for node in 1..=NODES {
            let gpu = if node == 1 { " Gres=gpu:1" } else { "" };
            let port = port(node);
            writeln!(
                text,
                "NodeName=n{node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} \
                 RealMemory=2000 State=UNKNOWN{gpu}"
            )
            .expect("a line");
        }
        text += "\
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=spot Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=2
";
        fs::write(self.file("slurm.conf"), text).expect("written");
        fs::write(self.file("gres.conf"), "NodeName=n1 Name=gpu File=/dev/zero\n")
            .expect("written");
        fs::write(self.file("cgroup.conf"), "CgroupAutomount=no\n").expect("written");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(end);
        end(&mut self.controller);
        end(&mut self.munge);
        if std::thread::panicking() {
            // What a failed test leaves behind.
            for id in crate::run::started_in(self.path()) {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(id),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
        }
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Daemons are in folders that a user's PATH may not name.
fn located(program: &str) -> String {
    let places = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];
    let paths = std::env::var("PATH").unwrap_or_default();
    let mut folders = paths.split(':').chain(places).map(|folder| Path::new(folder).join(program));
    let found = folders.find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no {program}")).display().to_string()
}
