package docker

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The sandbox process is a program of about two hundred bytes, written here as machine code. It has to be small because
// there is one per pod, and it has to be made here because kubette ships no compiled files of other systems: the same
// code runs on the engine's machine whatever the host is.
//
// It does one thing: it executes the system calls that kubette sends it on its standard input, until that ends, and then
// sleeps for ever. All that a sandbox needs (a network namespace with an address, files of a volume) is therefore written
// in Go on the host's side (syscalls.go), and the program below stays the same. In Kubernetes the program in this place
// is called pause, and only sleeps.
//
//	buffer = frameSize bytes on the stack
//	sigaction(SIGCHLD, ignore)          orphans are reaped by the kernel, should we be process 1 of a pod
//	buffer[0] = the buffer's own address, which kubette needs for arguments that are pointers
//	reply:  write(1, buffer, frameSize)
//	        read(0, buffer, frameSize) until it is full; go to sleep if it ends
//	        buffer[0] = syscall(buffer[0], buffer[1] … buffer[6])
//	        go to reply
//	sleep:  pause(); go to sleep

// frameSize is the size of a request and of its answer. It is no larger than what a pipe takes at once, so that a write
// never stops half-way.
const frameSize = 4096

// pauseAMD64 is the program for x86-64: the call's number in rax, its arguments in rdi, rsi, rdx, r10, r8, r9.
var pauseAMD64 = []byte{
	0x48, 0x81, 0xec, 0x00, 0x20, 0x00, 0x00, // sub rsp, 8192
	0x48, 0x89, 0xe3, // mov rbx, rsp               the buffer
	0x48, 0xc7, 0x03, 0x01, 0x00, 0x00, 0x00, // mov qword [rbx], 1   SIG_IGN; the rest of the structure is zero
	0xb8, 0x0d, 0x00, 0x00, 0x00, // mov eax, 13    rt_sigaction
	0xbf, 0x11, 0x00, 0x00, 0x00, // mov edi, 17    SIGCHLD
	0x48, 0x89, 0xde, // mov rsi, rbx
	0x31, 0xd2, // xor edx, edx
	0x41, 0xba, 0x08, 0x00, 0x00, 0x00, // mov r10d, 8
	0x0f, 0x05, // syscall
	0x48, 0x89, 0x1b, // mov [rbx], rbx
	// reply:
	0xb8, 0x01, 0x00, 0x00, 0x00, // mov eax, 1     write
	0xbf, 0x01, 0x00, 0x00, 0x00, // mov edi, 1
	0x48, 0x89, 0xde, // mov rsi, rbx
	0xba, 0x00, 0x10, 0x00, 0x00, // mov edx, 4096
	0x0f, 0x05, // syscall
	0x31, 0xed, // xor ebp, ebp                     how much was read
	// read:
	0x31, 0xc0, // xor eax, eax                     read
	0x31, 0xff, // xor edi, edi
	0x48, 0x8d, 0x34, 0x2b, // lea rsi, [rbx+rbp]
	0xba, 0x00, 0x10, 0x00, 0x00, // mov edx, 4096
	0x29, 0xea, // sub edx, ebp
	0x0f, 0x05, // syscall
	0x48, 0x85, 0xc0, // test rax, rax
	0x7e, 0x2c, // jle sleep
	0x01, 0xc5, // add ebp, eax
	0x81, 0xfd, 0x00, 0x10, 0x00, 0x00, // cmp ebp, 4096
	0x72, 0xe0, // jb read
	0x48, 0x8b, 0x03, // mov rax, [rbx]
	0x48, 0x8b, 0x7b, 0x08, // mov rdi, [rbx+8]
	0x48, 0x8b, 0x73, 0x10, // mov rsi, [rbx+16]
	0x48, 0x8b, 0x53, 0x18, // mov rdx, [rbx+24]
	0x4c, 0x8b, 0x53, 0x20, // mov r10, [rbx+32]
	0x4c, 0x8b, 0x43, 0x28, // mov r8, [rbx+40]
	0x4c, 0x8b, 0x4b, 0x30, // mov r9, [rbx+48]
	0x0f, 0x05, // syscall
	0x48, 0x89, 0x03, // mov [rbx], rax
	0xeb, 0xa8, // jmp reply
	// sleep:
	0xb8, 0x22, 0x00, 0x00, 0x00, // mov eax, 34    pause
	0x0f, 0x05, // syscall
	0xeb, 0xf7, // jmp sleep
}

// pauseARM64 is the program for 64-bit ARM: the call's number in x8, its arguments in x0 to x5.
var pauseARM64 = words(
	0xd1400bff, // sub sp, sp, #0x2, lsl #12
	0x910003f3, // mov x19, sp
	0xd2800028, // mov x8, #0x1
	0xf9000268, // str x8, [x19]
	0xd2800220, // mov x0, #0x11
	0xaa1303e1, // mov x1, x19
	0xd2800002, // mov x2, #0x0
	0xd2800103, // mov x3, #0x8
	0xd28010c8, // mov x8, #0x86
	0xd4000001, // svc #0x0
	0xf9000273, // str x19, [x19]
	// reply:
	0xd2800020, // mov x0, #0x1
	0xaa1303e1, // mov x1, x19
	0xd2820002, // mov x2, #0x1000
	0xd2800808, // mov x8, #0x40
	0xd4000001, // svc #0x0
	0xd2800014, // mov x20, #0x0
	// read:
	0xd2800000, // mov x0, #0x0
	0x8b140261, // add x1, x19, x20
	0xd2820002, // mov x2, #0x1000
	0xcb140042, // sub x2, x2, x20
	0xd28007e8, // mov x8, #0x3f
	0xd4000001, // svc #0x0
	0xf100001f, // cmp x0, #0x0
	0x5400016d, // b.le sleep
	0x8b000294, // add x20, x20, x0
	0xf140069f, // cmp x20, #0x1, lsl #12
	0x54fffec3, // b.cc read
	0xf9400268, // ldr x8, [x19]
	0xa9408660, // ldp x0, x1, [x19, #8]
	0xa9418e62, // ldp x2, x3, [x19, #24]
	0xa9429664, // ldp x4, x5, [x19, #40]
	0xd4000001, // svc #0x0
	0xf9000260, // str x0, [x19]
	0x17ffffe9, // b reply
	// sleep:
	0xd2800000, // mov x0, #0x0
	0xd2800001, // mov x1, #0x0
	0xd2800002, // mov x2, #0x0
	0xd2800003, // mov x3, #0x0
	0xd2800004, // mov x4, #0x0
	0xd2800928, // mov x8, #0x49
	0xd4000001, // svc #0x0
	0x17fffff9, // b sleep
)

// elf64 makes a static executable: the file's header, one segment that holds the whole file, and the code.
func elf64(machine uint16, code []byte) []byte {
	const base, header = 0x400000, 64 + 56
	var out bytes.Buffer
	size := uint64(header + len(code))
	for _, field := range []any{
		[16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, uint16(2), machine, uint32(1), // an executable of this machine
		uint64(base + header), uint64(64), uint64(0), uint32(0), // where it starts; where the segments are
		uint16(64), uint16(56), uint16(1), uint16(64), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x10000), // load, read and execute
	} {
		binary.Write(&out, binary.LittleEndian, field) // a buffer takes everything
	}
	out.Write(code)
	return out.Bytes()
}

// pauseProgram returns the executable for an engine's architecture.
func pauseProgram(architecture string) ([]byte, error) {
	switch architecture {
	case "amd64":
		return elf64(62, pauseAMD64), nil
	case "arm64":
		return elf64(183, pauseARM64), nil
	}
	return nil, fmt.Errorf("the engine's architecture is %q; kubette knows amd64 and arm64", architecture)
}

// words is machine code of 32-bit instructions.
func words(instructions ...uint32) []byte {
	code := make([]byte, 0, 4*len(instructions))
	for _, instruction := range instructions {
		code = binary.LittleEndian.AppendUint32(code, instruction)
	}
	return code
}
