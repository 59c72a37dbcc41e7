package toolbox

import "maps"

// Programs returns every program by its name: the servers, the shell, and its tools.
func Programs() map[string]Program {
	programs := map[string]Program{
		"backend": backend, "frontend": frontend, "web": web, "whoami": whoami, "hello": hello, "http-echo": httpEcho,
		"pause": pause,
	}
	maps.Copy(programs, tools())
	for _, shell := range []string{"sh", "ash", "bash"} {
		programs[shell] = shellProgram
	}
	return programs
}

// tools are the small programs, which the shell runs without starting a process.
func tools() map[string]Program {
	return map[string]Program{
		// files
		"cat": cat, "cp": cp, "ls": ls, "mkdir": mkdir, "mv": mv, "rm": rm, "tar": tarProgram, "tee": tee, "touch": touch,
		// text
		"base64": base64Program, "basename": basename, "cut": cut, "dirname": dirname, "echo": echo, "grep": grep, "head": head,
		"seq": seq, "sort": sortLines, "tail": tail, "tr": tr, "uniq": uniq, "wc": wc,
		// network
		"curl": curl, "nc": nc, "nslookup": nslookup, "wget": wget,
		"test": condition, "[": condition,
		// system
		"date": date, "env": env, "false": falseProgram, "hostname": hostname, "id": id, "printenv": env, "sleep": sleep,
		"true": trueProgram, "uname": uname, "yes": yes,
	}
}
