//! Pods through containerd's CRI plugin, as a kubelet makes them: found and named by pod, each traced by itself, and
//! followed when the kubelet starts a container anew. The host's network, since no CNI plugin is needed then.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use ctp_tests::ctp::{PATIENCE, Running, ctp};
use ctp_tests::docker::{Image, docker};
use ctp_tests::process::{attempt, run};
use ctp_tests::unique::{Scratch, name};

use crate::engines::{PROGRAM, Pids, Spec, Tree};

/// A containerd of the tests' own.
pub(crate) struct Containerd {
    /// Where it is on this host; `None` where it runs in a container, with which it goes.
    place: Option<&'static Place>,
    /// Its socket, as this host sees it.
    socket: String,
    folder: Scratch,
    daemon: Mutex<Child>,
    pub(crate) image: String,
    _image: Image,
    /// Only one can be in that place.
    _lock: Option<File>,
}

/// A place in which ctp looks for a containerd.
struct Place {
    state: &'static str,
    socket: &'static str,
    /// What is made for it.
    top: &'static str,
}

const K3S: Place =
    Place { state: "/run/k3s/containerd", socket: "/run/k3s/containerd/containerd.sock", top: "/run/k3s" };
const MICROK8S: Place = Place {
    state: "/var/snap/microk8s/common/run/containerd",
    socket: "/var/snap/microk8s/common/run/containerd.sock",
    top: "/var/snap/microk8s",
};

impl Containerd {
    /// The one of all tests, ended with the last of them.
    pub(crate) fn shared() -> Arc<Containerd> {
        static SHARED: Mutex<Weak<Containerd>> = Mutex::new(Weak::new());
        let mut slot = SHARED.lock().unwrap_or_else(|e| e.into_inner());
        slot.upgrade().unwrap_or_else(|| {
            let containerd = Arc::new(Containerd::start(&K3S));
            *slot = Arc::downgrade(&containerd);
            containerd
        })
    }

    fn start(place: &'static Place) -> Containerd {
        let lock = File::create(format!("/run/ctp-tests{}.lock", place.top.replace('/', "-"))).unwrap();
        lock.lock().unwrap();
        let folder = Scratch::new();
        let image = Tree::new().image();
        let root = folder.path().join("root");
        folder.write("config.toml", &config(&reference(&image), root.to_str().unwrap(), place.state, place.socket));
        let daemon = Containerd::daemon(&folder);
        Containerd::over(place.socket.to_owned(), Some((place, lock)), folder, daemon, image)
    }

    /// One that runs in a container, started by a command that stays with it. `socket` is where this host sees it, `state`
    /// and `root` are its folders there; `config` takes what it is to be told.
    pub(crate) fn within(socket: String, config: &Path, daemon: impl FnOnce() -> Command) -> Containerd {
        let folder = Scratch::new();
        let image = Tree::new().image();
        let text = self::config(
            &reference(&image),
            "/var/lib/docker/containerd",
            "/run/containerd",
            "/run/containerd/containerd.sock",
        );
        std::fs::write(config, text).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let daemon = daemon().stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Containerd::over(socket, None, folder, daemon, image)
    }

    fn over(
        socket: String,
        place: Option<(&'static Place, File)>,
        folder: Scratch,
        daemon: Child,
        image: Image,
    ) -> Containerd {
        let tar = folder.path().join("image.tar").into_os_string().into_string().unwrap();
        docker(&["save", "--output", &tar, image.name()]);
        let (place, lock) = place.map_or((None, None), |(place, lock)| (Some(place), Some(lock)));
        let (daemon, reference) = (Mutex::new(daemon), reference(&image));
        let containerd = Containerd { place, socket, folder, daemon, image: reference, _image: image, _lock: lock };
        containerd.wait();
        run(&mut containerd.ctr(&["images", "import", "--snapshotter", "native", &tar]));
        containerd
    }

    fn daemon(folder: &Scratch) -> Child {
        let log = File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        let mut command = Command::new("containerd");
        command.arg("--config").arg(folder.path().join("config.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    /// Kills the daemon; what watches its containers goes on.
    fn end(&self) {
        let mut daemon = self.daemon.lock().unwrap_or_else(|e| e.into_inner());
        let _ = daemon.kill();
        let _ = daemon.wait();
    }

    fn begin_again(&self) {
        *self.daemon.lock().unwrap_or_else(|e| e.into_inner()) = Containerd::daemon(&self.folder);
        self.wait();
    }

    fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        while attempt(&mut self.ctr(&["plugins", "ls"])).code != Some(0) {
            assert!(Instant::now() < deadline, "containerd does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn ctr(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.args(["--address", &self.socket, "--namespace", "k8s.io"]).args(args);
        command
    }

    /// A call of the CRI's RuntimeService and the first field of its answer.
    fn call(&self, method: &str, message: &[u8]) -> String {
        let answer = grpc(Path::new(&self.socket), &format!("/runtime.v1.RuntimeService/{method}"), message);
        let answer = answer.unwrap_or_else(|why| panic!("{method}: {why}\n{}", self.log()));
        // Field 1, a text shorter than 128 bytes; nothing for an empty answer.
        answer.get(2..).map_or_else(String::new, |text| String::from_utf8_lossy(text).into_owned())
    }

    pub(crate) fn pid(&self, container: &str) -> u32 {
        let listed = run(&mut self.ctr(&["task", "ls"])).stdout;
        let line = listed.lines().find(|line| line.starts_with(container)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        self.end();
        let Some(place) = self.place else { return };
        // Empty, since the pods were removed before; a real one's folder is not.
        let _ = std::fs::remove_dir_all(place.state);
        for socket in [place.socket.to_owned(), format!("{}.ttrpc", place.socket)] {
            let _ = std::fs::remove_file(socket);
        }
        for folder in Path::new(place.state).ancestors().skip(1) {
            let _ = std::fs::remove_dir(folder);
            if folder == Path::new(place.top) {
                break;
            }
        }
    }
}

/// The name of an image as the CRI has it.
fn reference(image: &Image) -> String {
    format!("docker.io/library/{}:latest", image.name())
}

/// What a containerd is told. The program waits where nobody drives it: it serves as the pods' sandbox too.
fn config(image: &str, root: &str, state: &str, socket: &str) -> String {
    format!(
        "version = 2\nroot = \"{root}\"\nstate = \"{state}\"\n\
         [grpc]\naddress = \"{socket}\"\n[ttrpc]\naddress = \"{socket}.ttrpc\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"{image}\"\n\
         restrict_oom_score_adj = true\ndisable_apparmor = true\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n"
    )
}

/// A pod; removed when dropped.
pub(crate) struct Pod {
    containerd: Arc<Containerd>,
    config: Vec<u8>,
    id: String,
    host_pids: bool,
    containers: Vec<Member>,
}

/// A container of a pod.
struct Member {
    name: String,
    id: String,
    /// Its configuration but for its metadata.
    config: Vec<u8>,
    attempt: u64,
}

// Messages as in runtime.v1's api.proto of cri-api, by the numbers of their fields.
impl Pod {
    /// Makes one as a kubelet does, with labels.
    pub(crate) fn start(
        containerd: &Arc<Containerd>,
        namespace: &str,
        name: &str,
        labels: &[(&str, &str)],
        host_pids: bool,
    ) -> Pod {
        let metadata = [text(1, name), text(2, &format!("uid-{name}")), text(3, namespace)].concat();
        let labels = labels.iter().flat_map(|(key, value)| field(6, &[text(1, key), text(2, value)].concat()));
        let linux = field(8, &field(2, &field(1, &namespaces(host_pids))));
        let config = [field(1, &metadata), labels.collect(), linux].concat();
        Pod::run(containerd, config, host_pids)
    }

    fn run(containerd: &Arc<Containerd>, config: Vec<u8>, host_pids: bool) -> Pod {
        let id = containerd.call("RunPodSandbox", &field(1, &config));
        Pod { containerd: Arc::clone(containerd), config, id, host_pids, containers: Vec::new() }
    }

    /// Makes a static pod, one of a file that the kubelet found on its node (`pkg/kubelet/config/common.go`): its name ends
    /// in the node's, its uid is the file's digest, and annotations say where it comes from. It is in the cgroup that the
    /// kubelet makes for pods.
    pub(crate) fn of_a_file(
        containerd: &Arc<Containerd>,
        namespace: &str,
        name: &str,
        hash: &str,
        labels: &[(&str, &str)],
    ) -> Pod {
        let metadata = [text(1, &format!("{name}-node1")), text(2, hash), text(3, namespace)].concat();
        let entries = |number: u64, entries: &[(&str, &str)]| -> Vec<u8> {
            entries.iter().flat_map(|(key, value)| field(number, &[text(1, key), text(2, value)].concat())).collect()
        };
        let annotations = [
            ("kubernetes.io/config.source", "file"),
            ("kubernetes.io/config.hash", hash),
            ("kubernetes.io/config.mirror", hash),
            ("kubernetes.io/config.seen", "2026-11-28T00:00:00.000000000Z"),
        ];
        let kubelets = [
            ("io.kubernetes.pod.name", format!("{name}-node1")),
            ("io.kubernetes.pod.namespace", namespace.to_owned()),
        ];
        let kubelets = kubelets.each_ref().map(|(key, value)| (*key, value.as_str()));
        let parent = text(1, &format!("/kubepods/burstable/pod{hash}"));
        let linux = field(8, &[parent, field(2, &field(1, &namespaces(false)))].concat());
        let labels = [entries(6, labels), entries(6, &kubelets)].concat();
        Pod::run(containerd, [field(1, &metadata), labels, entries(7, &annotations), linux].concat(), false)
    }

    /// Creates and starts a container in it.
    pub(crate) fn add(&mut self, name: &str, spec: &Spec) {
        let (program, args) = spec.program.split_first().unwrap();
        let mut config = [field(2, &text(1, &self.containerd.image)), text(3, program)].concat();
        config.extend(args.iter().flat_map(|arg| text(4, arg)));
        if let Some(out) = spec.out {
            config.extend(field(7, &[text(1, "/out"), text(2, out.to_str().unwrap())].concat()));
        }
        config.extend(field(15, &field(2, &field(3, &namespaces(self.host_pids)))));
        self.containers.push(Member { name: name.to_owned(), id: String::new(), config, attempt: 0 });
        self.create(self.containers.len() - 1);
    }

    fn create(&mut self, index: usize) {
        let member = &mut self.containers[index];
        let metadata = [text(1, &member.name), number(2, member.attempt)].concat();
        let config = [field(1, &metadata), member.config.clone()].concat();
        let request = [text(1, &self.id), field(2, &config), field(3, &self.config)].concat();
        member.id = self.containerd.call("CreateContainer", &request);
        self.containerd.call("StartContainer", &text(1, &member.id));
    }

    /// Stops and removes one, and creates it anew: a further attempt under another id.
    pub(crate) fn restart(&mut self, name: &str) {
        let index = self.containers.iter().position(|member| member.name == name).unwrap();
        let id = self.container(name).unwrap();
        self.containerd.call("StopContainer", &text(1, &id));
        self.containerd.call("RemoveContainer", &text(1, &id));
        self.containers[index].attempt += 1;
        self.create(index);
    }

    /// The id of a container of it.
    pub(crate) fn container(&self, name: &str) -> Option<String> {
        self.containers.iter().find(|member| member.name == name).map(|member| member.id.clone())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.containerd.pid(&self.containers[0].id)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.containerd.call("StopPodSandbox", &text(1, &self.id));
        self.containerd.call("RemovePodSandbox", &text(1, &self.id));
    }
}

/// NamespaceOption: the network of the node (2), its processes (2) or those of the pod (0).
fn namespaces(host_pids: bool) -> Vec<u8> {
    [number(1, 2), number(2, if host_pids { 2 } else { 0 })].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 127 {
        bytes.push(value.to_le_bytes()[0] | 128);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

/// A field of bytes or of a message (protobuf's wire type 2).
fn field(number: u64, value: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn text(number: u64, value: &str) -> Vec<u8> {
    field(number, value.as_bytes())
}

/// A field of a number (wire type 0).
fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

/// One call of gRPC: HTTP/2 (RFC 9113) with header fields as literals (RFC 7541), a message each way.
fn grpc(socket: &std::path::Path, path: &str, message: &[u8]) -> Result<Vec<u8>, String> {
    let mut stream = UnixStream::connect(socket).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let frame = |kind: u8, flags: u8, stream: u32, body: &[u8]| {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
    };
    let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // :method POST, :scheme http; then literals under names of the static table: :path, :authority, content-type.
    let headers = [
        vec![0x83, 0x86, 0x04],
        string(path),
        vec![0x01],
        string("localhost"),
        vec![0x0f, 0x10],
        string("application/grpc"),
        vec![0x00],
        string("te"),
        string("trailers"),
    ]
    .concat();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[0][..], &length, message].concat();
    let (data, header, settings, ping) = (0, 1, 4, 6);
    let request = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(settings, 0, 0, &[]),
        frame(header, 4, 1, &headers), // END_HEADERS
        frame(data, 1, 1, &body),      // END_STREAM
    ];
    stream.write_all(&request.concat()).map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).map_err(|e| format!("no answer: {e}"))?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut body = vec![0; length as usize];
        stream.read_exact(&mut body).map_err(|e| e.to_string())?;
        let (kind, flags) = (head[3], head[4]);
        if kind == settings && flags & 1 == 0 {
            stream.write_all(&frame(settings, 1, 0, &[])).map_err(|e| e.to_string())?;
        } else if kind == ping && flags & 1 == 0 {
            stream.write_all(&frame(ping, 1, 0, &body)).map_err(|e| e.to_string())?;
        } else if kind == data {
            answer.extend_from_slice(&body);
        }
        if (kind == data || kind == header) && flags & 1 == 1 {
            // A call that fails answers with header fields alone.
            return answer
                .get(5..)
                .map(<[u8]>::to_vec)
                .ok_or_else(|| "it failed; containerd's log tells why".to_owned());
        }
    }
}

fn script(who: &str) -> String {
    format!(r#"probe {who}:exe.fn("my_function") {{ printf("%d\n", pid()) }}"#)
}

/// Waits for `count` lines and returns the process ids in them.
fn pids(running: &mut Running, count: usize) -> Vec<u32> {
    (0..count).map(|_| running.wait_for_stdout(|_| true).parse().unwrap()).collect()
}

/// Waits for a line of the process that a container has since it came back.
fn wait_for_pid(running: &mut Running, again: u32) {
    let mut tries = 0;
    while pids(running, 1)[0] != again {
        tries += 1;
        assert!(tries < 10_000, "nothing of the new process {again} is reported");
    }
}

/// Neither tracing nor names need the daemon, only labels do.
#[test]
fn the_daemon_ends_and_begins_again_during_a_run() {
    let containerd = Arc::new(Containerd::start(&MICROK8S));
    let namespace = name();
    let mut pod = Pod::start(&containerd, &namespace, "web-0", &[("tier", &namespace)], false);
    pod.add("app", &Spec { program: &PROGRAM, out: None, pids: Pids::Own });
    let pid = pod.pid();
    let by_label = script(&format!("pod(label=\"tier={namespace}\")"));
    let mut running = Running::attached(&script(&format!("pod(\"{namespace}/web-0\", container=\"app\")")));
    pids(&mut running, 20);

    containerd.end();
    assert!(pids(&mut running, 40).iter().all(|seen| *seen == pid));
    let listed: serde_json::Value = serde_json::from_str(&ctp(&["ps", "--format", "json"]).stdout).unwrap();
    let entry = listed["containers"].as_array().unwrap().iter().find(|one| one["pid"] == pid).unwrap();
    assert_eq!((&entry["name"], &entry["pod"]["name"]), (&"app".into(), &"web-0".into()));
    let unknown = ctp(&["check", "-e", &by_label]);
    let said = format!("containerd did not answer at {}", MICROK8S.socket);
    assert!(unknown.code == Some(1) && unknown.stdout.contains(&said), "{}", unknown.stdout);

    containerd.begin_again();
    let known = ctp(&["check", "-e", &by_label]);
    assert_eq!(known.code, Some(0), "{}", known.stdout);
    pod.restart("app");
    running.wait_for_stderr("ctp: app restarted");
    wait_for_pid(&mut running, pod.pid());
    running.interrupt();
}

#[test]
fn pods_of_a_kubelet() {
    let containerd = Containerd::shared();
    let namespace = name();
    let start = |pod: &str, tier: &str| {
        let mut pod = Pod::start(&containerd, &namespace, pod, &[("tier", tier), (&namespace, "yes")], false);
        pod.add("app", &Spec { program: &PROGRAM, out: None, pids: Pids::Own });
        pod
    };
    let (mut web, other) = (start("web-0", "front"), start("web-1", "back"));
    let (pid, others) = (web.pid(), other.pid());

    let listed: serde_json::Value = serde_json::from_str(&ctp(&["ps", "--format", "json"]).stdout).unwrap();
    let entry = listed["containers"].as_array().unwrap().iter().find(|one| one["id"] == web.containers[0].id.as_str());
    let entry = entry.unwrap_or_else(|| panic!("{} is not in {listed}", web.containers[0].id));
    assert_eq!((&entry["name"], &entry["runtime"]), (&"app".into(), &"containerd".into()));
    let pod = serde_json::json!({"namespace": namespace, "name": "web-0", "container": "app"});
    assert_eq!((&entry["pod"], &entry["pid"], &entry["image"]), (&pod, &pid.into(), &containerd.image.clone().into()));

    // Containers of many pods bear one name: each is listed with its pod, and how to say that one.
    let both = ctp(&["check", "-e", &script("container(\"app\")")]);
    assert!(both.code == Some(1) && both.stdout.contains("E0102"), "{}", both.stdout);
    let ways: Vec<&str> = both.stdout.lines().filter_map(|line| Some(line.split_once("for this one: ")?.1)).collect();
    let way_out = format!("pod(\"{namespace}/web-0\", container=\"app\")");
    assert_eq!(ways, [&way_out, &format!("pod(\"{namespace}/web-1\", container=\"app\")")], "{}", both.stdout);

    // An image by its digest, which its containers bear under a tag.
    let images = run(&mut containerd.ctr(&["images", "ls"])).stdout;
    let of_image = images.lines().find_map(|line| line.strip_prefix(&containerd.image)).unwrap();
    let digest = of_image.split_whitespace().nth(1).unwrap();
    let script_of = |image: &str| script(&format!("container(\"app\", image=\"{image}\")"));
    for image in [digest, &format!("docker.io/library/*@{}", &digest[..30])] {
        let checked = ctp(&["check", "-e", &script_of(image)]);
        assert!(checked.stdout.contains("E0102") && checked.stdout.contains(&namespace), "{image}: {}", checked.stdout);
    }

    // A pod's labels are its sandbox's: the CRI gives a container those of its own.
    for (label, pid) in [("tier=front", pid), ("tier=back", others)] {
        let mut running = Running::attached(&script(&format!("pod(label=\"{label}\", label=\"{namespace}\")")));
        assert!(pids(&mut running, 20).iter().all(|seen| *seen == pid), "{label}");
        running.interrupt();
    }

    let mut running = Running::attached(&script(&format!("pod(\"{namespace}/web-*\")")));
    let mut seen = pids(&mut running, 40);
    running.interrupt();
    seen.sort_unstable();
    seen.dedup();
    let mut expected = [pid, others];
    expected.sort_unstable();
    assert_eq!(seen, expected);

    for (way, pid) in ways.iter().zip([pid, others]) {
        let mut running = Running::attached(&script(way));
        assert!(pids(&mut running, 20).iter().all(|seen| *seen == pid), "{way}");
        running.interrupt();
    }
    let mut running = Running::attached(&script(&way_out));
    // The kubelet starts a container anew under a new id: its name and pod are the same.
    web.restart("app");
    running.wait_for_stderr("ctp: app restarted");
    wait_for_pid(&mut running, web.pid());
    let output = running.interrupt();
    assert!(!output.lines().iter().any(|line| *line == others.to_string()), "{}", output.stderr);
}

/// A static pod is selected as any other: by the name that it has on its node, by its labels, by its container.
#[test]
fn a_static_pod() {
    let containerd = Containerd::shared();
    let (namespace, hash) = (name(), format!("{:032x}", std::process::id()));
    let labels = [("component", "etcd"), ("tier", namespace.as_str())];
    let mut etcd = Pod::of_a_file(&containerd, &namespace, "etcd", &hash, &labels);
    etcd.add("etcd", &Spec { program: &PROGRAM, out: None, pids: Pids::Own });
    let mut other = Pod::start(&containerd, &namespace, "etcd-node2", &[], false);
    other.add("etcd", &Spec { program: &PROGRAM, out: None, pids: Pids::Own });
    let pid = etcd.pid();
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(cgroup.contains(&format!("/kubepods/burstable/pod{hash}/")), "{cgroup}");
    for who in [
        format!("pod(\"{namespace}/etcd-node1\")"),
        format!("pod(\"{namespace}/*-node1\", container=\"etcd\")"),
        format!("pod(label=\"component=etcd\", label=\"tier={namespace}\")"),
    ] {
        let mut running = Running::attached(&script(&who));
        assert!(pids(&mut running, 20).iter().all(|seen| *seen == pid), "{who}");
        running.interrupt();
    }
    let mut running = Running::attached(&script(&format!("pod(\"{namespace}/etcd-node1\")")));
    etcd.restart("etcd");
    running.wait_for_stderr("ctp: etcd restarted");
    wait_for_pid(&mut running, etcd.pid());
    running.interrupt();
    drop((etcd, other));
    for mount in run(std::process::Command::new("findmnt").args(["-n", "-t", "cgroup,cgroup2", "-o", "TARGET"])).lines()
    {
        // The kubelet's part, which it would remove itself.
        let kubepods = std::path::Path::new(mount.trim()).join("kubepods");
        for folder in [kubepods.join(format!("burstable/pod{hash}")), kubepods.join("burstable"), kubepods] {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
