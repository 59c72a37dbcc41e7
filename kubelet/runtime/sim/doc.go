// Package sim is a container runtime without containers: it keeps the records that a runtime keeps, and runs programs of
// the toolbox as goroutines. With it a whole cluster works on any machine, thousands of pods cost little, and tests run in
// virtual time (testing/synctest), for nothing here touches the world outside the process.
//
// What a container does is decided by its image and command:
//
//   - An image that the toolbox knows (Config.Images) runs its program; the command that a pod gives is looked up among
//     Config.Programs by its base name. A command that is not there fails as a real runtime fails: exit 128, and
//     "executable file not found in $PATH".
//   - Any other image is accepted, and its pull says that it is simulated. A command whose program is known runs; else the
//     container is only a record that stays Running until it is stopped or killed, and then ends with exit code 0 or 137,
//     or until the time that the pod's annotation sim.kubette/run-for gives is over (sim.kubette/exit-code says how it ends).
//   - Images under the registries missing.test/ and *.invalid/, and those with the tag :missing or :doesnotexist, cannot be
//     pulled: the answer is a registry's "not found", or a failed look-up of the registry's name for *.invalid. Names under
//     private.test/ want a pull secret.
//
// Every pod has an address on an in-memory Network, on which programs listen and which other pods dial. Container files and
// volumes are kept in memory.
//
// Read sim.go (the runtime), sandboxes.go, containers.go (their life), process.go (what a program sees), images.go,
// network.go and conn.go (addresses and connections), files.go and volumes.go, logs.go, exec.go (exec, attach, dial),
// events.go, faults.go (kill, out of memory, power cut).
package sim
