// Package cronjob makes Jobs at the times that a schedule gives.
//
// It watches CronJobs and Jobs. For each CronJob it finds the last time that the schedule gave, makes the Job of that time
// if it was not made (its name holds the time, so that it cannot be made twice), and comes back at the next time. A run
// that was missed, because the cluster was off or the CronJob suspended, is made up for as long as startingDeadlineSeconds
// allows; of several missed runs only the last one is. Another schedule begins at its next time: it has missed nothing.
//
// Read cronjob.go (the loop), schedule.go (times), jobs.go (what runs, what is kept).
package cronjob
