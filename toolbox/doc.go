// Package toolbox holds the programs inside kubette's own images: the course's back end and front end, a web server, a
// shell and its small tools. Each runs in two ways: as the process of a real container (the image holds kubette's
// executable), and as a goroutine behind a simulated container's address.
//
// A program therefore touches the world only through its Process: arguments, variables, files, output, listening and
// dialling. Kubernetes has nothing like it: there, images come from a registry. kubette ships these so that the course's
// application runs on a machine without any network, and says so wherever one of them stands in for the real program.
//
// Read images.go (which image stands in for which), main.go (as a real process), backend.go, frontend.go and web.go (the
// servers), shell.go and the tools beside it.
package toolbox
