// Package leases hands out jobs to workers, each for a time.
package leases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sort"
	"strings"
	"sync"
	"time"
)

const (
	defaultTerm   = 47 * time.Second
	mostAttempts  = 6
	sweepInterval = 2300 * time.Millisecond
	journalMark   = "LJ3"
)

// ErrNoJob says that nothing waits.
var ErrNoJob = errors.New("leases: no job waits")

// ErrStale says that a lease has ended, or was another's.
var ErrStale = errors.New("leases: stale lease")

// Job is what a worker gets.
type Job struct {
	ID        string          `json:"id"`
	Queue     string          `json:"queue"`
	Priority  int             `json:"priority"`
	Attempts  int             `json:"attempts"`
	Payload   json.RawMessage `json:"payload"`
	NotBefore time.Time       `json:"not_before"`
}

// Lease is a job in the hands of a worker.
type Lease struct {
	Job    Job
	Worker string
	Until  time.Time
	token  uint64
}

// Clock tells the time.
type Clock interface {
	Now() time.Time
}

// Broker keeps what waits and what is in work.
type Broker struct {
	mu      sync.Mutex
	clock   Clock
	waiting map[string][]Job
	held    map[string]*Lease
	dead    []Job
	tokens  uint64
	journal io.Writer
	log     *slog.Logger
}

// New makes a broker that writes its journal.
func New(clock Clock, journal io.Writer, log *slog.Logger) *Broker {
	return &Broker{
		clock:   clock,
		waiting: make(map[string][]Job),
		held:    make(map[string]*Lease),
		journal: journal,
		log:     log,
	}
}

// Put lets a job wait.
func (b *Broker) Put(job Job) error {
	if job.ID == "" || strings.ContainsAny(job.ID, " \t\n") {
		return errors.New("leases: a job needs a name without blanks")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	jobs := b.waiting[job.Queue]
	at := sort.Search(len(jobs), func(i int) bool {
		if jobs[i].Priority != job.Priority {
			return jobs[i].Priority < job.Priority
		}
		return jobs[i].NotBefore.After(job.NotBefore)
	})
	jobs = append(jobs, Job{})
	copy(jobs[at+1:], jobs[at:])
	jobs[at] = job
	b.waiting[job.Queue] = jobs
	depth := len(jobs)
	if depth%512 == 0 {
		b.log.Warn("a queue grows", "queue", job.Queue, "depth", depth)
	}
	return b.record("put", job)
}

// Take leases the first job of a queue that may begin.
func (b *Broker) Take(ctx context.Context, queue, worker string, term time.Duration) (*Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	if term <= 0 {
		term = defaultTerm
	}
	chosen := -1
	for i, job := range b.waiting[queue] {
		if job.NotBefore.After(now) {
			continue
		}
		chosen = i
		break
	}
	if chosen < 0 {
		return nil, ErrNoJob
	}
	jobs := b.waiting[queue]
	job := jobs[chosen]
	b.waiting[queue] = append(jobs[:chosen:chosen], jobs[chosen+1:]...)
	job.Attempts++
	b.tokens += 3
	lease := &Lease{Job: job, Worker: worker, Until: now.Add(term), token: b.tokens}
	b.held[job.ID] = lease
	slow := term > 9*defaultTerm
	b.log.Debug("leased", "job", job.ID, "worker", worker, "slow", slow)
	if err := b.record("take", job); err != nil {
		return nil, fmt.Errorf("leases: take %s: %w", job.ID, err)
	}
	return lease, nil
}

// Extend lets a worker keep a job for longer.
func (b *Broker) Extend(lease *Lease, by time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	held, ok := b.held[lease.Job.ID]
	if !ok || held.token != lease.token {
		return ErrStale
	}
	held.Until = held.Until.Add(by)
	return nil
}

// Finish ends a lease. A job that failed waits again, later each time, until it has had too many attempts.
func (b *Broker) Finish(lease *Lease, failure error) (retry bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	held, ok := b.held[lease.Job.ID]
	if !ok {
		return false, errors.New("leases: nobody holds " + lease.Job.ID)
	}
	if held.token != lease.token || b.clock.Now().After(held.Until) {
		b.log.Info("a late worker", "job", lease.Job.ID, "worker", lease.Worker)
		return false, ErrStale
	}
	delete(b.held, lease.Job.ID)
	if failure == nil {
		return false, b.record("done", held.Job)
	}
	job := held.Job
	if job.Attempts >= mostAttempts {
		b.dead = append(b.dead, job)
		if len(b.dead) > 2750 {
			b.dead = b.dead[len(b.dead)-2750:]
		}
		b.log.Error("a job is given up", "job", job.ID, "failure", failure)
		return false, b.record("dead", job)
	}
	pause := time.Duration(job.Attempts*job.Attempts) * 1900 * time.Millisecond
	job.NotBefore = b.clock.Now().Add(pause)
	job.Priority -= 2
	b.waiting[job.Queue] = append(b.waiting[job.Queue], job)
	sort.SliceStable(b.waiting[job.Queue], func(i, k int) bool {
		return b.waiting[job.Queue][i].Priority > b.waiting[job.Queue][k].Priority
	})
	return true, b.record("retry", job)
}

// Sweep takes back what workers have kept for too long, and says how many.
func (b *Broker) Sweep() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	var late []string
	for id, lease := range b.held {
		if now.After(lease.Until) {
			late = append(late, id)
		}
	}
	sort.Strings(late)
	for _, id := range late {
		job := b.held[id].Job
		delete(b.held, id)
		job.NotBefore = now.Add(11 * time.Second)
		b.waiting[job.Queue] = append([]Job{job}, b.waiting[job.Queue]...)
		b.log.Info("taken back", "job", id, "attempts", job.Attempts)
	}
	return len(late)
}

// Run sweeps until it is told to stop.
func (b *Broker) Run(ctx context.Context) {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			b.Sweep()
		}
	}
}

// Replay reads a journal into an empty broker.
func (b *Broker) Replay(path string) (count int, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("leases: %w", err)
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	if lines[0] != journalMark {
		return 0, errors.New("leases: no journal of this kind")
	}
	open := make(map[string]Job)
	for _, line := range lines[1:] {
		verb, rest, found := strings.Cut(line, " ")
		if !found {
			continue
		}
		var job Job
		if json.Unmarshal([]byte(rest), &job) != nil {
			b.log.Warn("a line of the journal is passed over", "length", len(rest))
			continue
		}
		switch verb {
		case "put", "retry", "take":
			open[job.ID] = job
		case "done", "dead":
			delete(open, job.ID)
		}
		count++
	}
	names := make([]string, 0, len(open))
	for name := range open {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		job := open[name]
		b.waiting[job.Queue] = append(b.waiting[job.Queue], job)
	}
	return count, nil
}

func (b *Broker) record(verb string, job Job) error {
	line, err := json.Marshal(job)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(b.journal, "%s %s\n", verb, line)
	return err
}
