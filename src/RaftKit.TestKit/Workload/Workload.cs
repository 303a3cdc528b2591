using RaftKit.Consensus;
using RaftKit.Node.Proposals;
using RaftKit.Node.Reads;
using RaftKit.Recipes;
using RaftKit.Znodes;
using RaftKit.Znodes.Sessions;

namespace RaftKit.TestKit;

/// <summary>
/// What applications do to a simulated cluster: clients in every process, contenders for leadership, and the record of everything they were
/// told.
/// </summary>
internal sealed class Workload
{
    private const int FirstGuest = 1_000_000;

    // Of the timeout, after a sixth of it without a word and a slow network's way there and back.
    private const double LeastOfLease = 0.6;

    /// <summary>Of the sessions that keepalives alone keep.</summary>
    public static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(1);

    private readonly SimulatedWorld _world;
    private readonly SimulatedRandom _random;
    private readonly Dictionary<int, List<WatchTimeline>> _timelines = [];
    private readonly List<WatchChecker> _watches = [];
    private readonly List<(SimulatedProcess Process, Leadership Leadership)> _leaderships = [];
    private readonly List<(SimulatedProcess Process, IZnodeSession Session, bool IsGuest)> _sessions = [];
    private readonly List<(SimulatedProcess Process, IZnodeSession Session)> _idle = [];
    private readonly List<GuestClient> _guests = [];
    private readonly int _clientsPerProcess;
    private readonly bool _contend;
    private readonly bool _sync;
    private readonly bool _read;
    private readonly List<(TimeSpan At, long Zxid)> _acknowledged = [];
    private long _highestToken;
    private int _clients;

    public Workload(SimulatedWorld world, TreeOracle oracle)
    {
        _world = world;
        _random = world.Random.Split("workload");
        Oracle = oracle;
        oracle.Expired = Ended;
        oracle.IsWrittenOnce = IsRegister;
        Log = new OperationLog(world.Scheduler, world.Trace);
        _clientsPerProcess = _random.Between(1, 3);
        _contend = _random.Chance(0.7);
        _sync = _random.Split("syncs").Chance(0.5);
        _read = _random.Split("reads").Chance(0.6);
    }

    public TreeOracle Oracle { get; }

    public OperationLog Log { get; }

    /// <summary>Clients finish what they are at, and begin nothing new.</summary>
    public bool Stopped { get; set; }

    /// <summary>
    /// How much longer than usual clients pause, so that a long run costs what its faults cost, and not what ever more of the same writes
    /// do.
    /// </summary>
    public double Pace { get; init; } = 1;

    public long WatchEvents { get; set; }

    /// <summary>Events of watches that came of comparing the states before and after a snapshot.</summary>
    public long EventsFoundByJumps => _watches.Sum(w => w.FoundByJumps);

    public long SessionsSeenExpired { get; set; }

    public long Elections { get; private set; }

    /// <summary>How often a client connected through a member.</summary>
    public long GuestConnections { get; set; }

    /// <summary>The highest zxid that any client was told of.</summary>
    public long HighestAcknowledged { get; private set; }

    /// <summary>Users who read through any member, and must never go back.</summary>
    public IReadOnlyList<ReadSession> ReadSessions { get; } = [new(), new()];

    public long ReadsByLease { get; set; }

    public long ReadsBehind { get; set; }

    public long ReadsTooStale { get; set; }

    public void Acknowledge(long zxid)
    {
        if (zxid <= HighestAcknowledged || _world.IsAside)
            return;
        HighestAcknowledged = zxid;
        _acknowledged.Add((_world.Scheduler.Now, zxid));
    }

    /// <summary>The highest zxid that any client had been told of by then.</summary>
    public long AcknowledgedBy(TimeSpan time)
    {
        var (first, after) = (0, _acknowledged.Count);
        while (first < after)
        {
            var middle = (first + after) / 2;
            if (_acknowledged[middle].At > time)
                after = middle;
            else
                first = middle + 1;
        }
        return first == 0 ? 0 : _acknowledged[first - 1].Zxid;
    }

    public void Violate(int invariant, string what)
    {
        if (!_world.IsAside)
            _world.Violate($"invariant {invariant}: {what}");
    }

    private static bool IsRegister(string path) =>
        path.StartsWith("/r", StringComparison.Ordinal) && path.Contains("/k", StringComparison.Ordinal);

    /// <summary>A client opened a session in its process.</summary>
    public void Opened(SimulatedProcess process, IZnodeSession session, bool isGuest = false)
    {
        _sessions.RemoveAll(s => !s.Process.IsAlive || s.Session.State == SessionState.Expired);
        _sessions.Add((process, session, isGuest));
    }

    /// <summary>
    /// The log ended a session: by proof, if its process is dead; for silence, only once its timeout has passed since the last keepalive
    /// that was answered, which is what its own lease counts (invariant 23).
    /// </summary>
    public void Ended(Session ended, SessionEnd cause)
    {
        if (cause == SessionEnd.Closed)
            return;
        // A process on an old copy of its disk may call itself what the one that died was called (seed 950 of 60 s): it is found out, and
        // is another one.
        if (ended.Host is { } host && cause == SessionEnd.HostDied && _world[host.Member] is { Damage: not DiskDamage.OldCopy }
            && _world[host.Member].Loop is { } loop && loop.Incarnation == host.Incarnation && loop.Boot == host.Boot)
            Violate(23, $"session {ended.Id:x} was ended because its process {host} died, and it lives");
        if (cause == SessionEnd.HostRefused && !_world.Options.ExpireOnRefusedConnection)
            Violate(23, $"session {ended.Id:x} was ended because its process {ended.Host} refused connections, which nobody allowed");
        foreach (var (process, session, _) in _sessions)
        {
            if (session.Id != ended.Id || process is not { IsAlive: true, IsAside: false }
                || session is not ISessionLease { IsValid: true } lease)
                continue;
            // Who set ExpireOnRefusedConnection takes that risk, and this one alone (seeds 15 and 41 of 60 s without it).
            if (cause == SessionEnd.HostRefused)
            {
                _world.Faults.Coverage.Struck(MenuItem.RefusedWithLease);
                _refusedWithLease.Add(process);
            }
            else
                Violate(23,
                    $"session {ended.Id:x} was ended ({cause}), and its lease lasts for {lease.Remaining.TotalMilliseconds:F0} ms more");
        }
    }

    /// <summary>A session that nobody uses: keepalives alone keep it.</summary>
    public void OpenIdle(SimulatedProcess process, IZnodeSessions sessions)
    {
        process.Context.Run(() =>
        {
            try
            {
                _idle.Add((process, sessions.Open(IdleTimeout)));
            }
            catch (NotAppliedException)
            {
                // One with little room is busy at this moment (seed 18).
                process.After(TimeSpan.FromMilliseconds(1), () => OpenIdle(process, sessions));
            }
        });
    }

    /// <summary>
    /// Nothing has been wrong for longer than <see cref="IdleTimeout"/>: whose process lives is kept alive. A session is named every sixth
    /// of its timeout, and what a leader answers extends it to the whole.
    /// </summary>
    public void CheckKeptAlive()
    {
        foreach (var (process, session) in _idle)
        {
            if (process.IsAlive && session is ISessionLease { IsValid: false })
                _world.Violate(
                    $"liveness: an idle session of process {process.Number} ({session.Id:x}, {session.State}) was not kept alive in calm");
        }
        // A guest's lives by what its client says, who may have nothing more to say.
        foreach (var (process, session, isGuest) in _sessions)
        {
            if (!isGuest && process.IsAlive && session is { State: not SessionState.Expired } and ISessionLease lease
                && lease.Remaining < session.Timeout * LeastOfLease)
            {
                _world.Violate(
                    $"liveness: session {session.Id:x} of process {process.Number} was not answered in calm: {lease.Remaining.TotalMilliseconds:F0} ms are left of {session.Timeout.TotalMilliseconds:F0}");
            }
        }
    }

    /// <summary>Clients on machines of their own, which nobody kills, in half of the simulations.</summary>
    public void BeginGuests()
    {
        var random = _world.Random.Split("guests");
        for (var i = random.Chance(0.5) ? 0 : random.Between(1, 3); i > 0; i--)
        {
            // Numbered apart from the members' processes, so that these are the same with and without guests.
            var machine = new SimulatedProcess(_world.Scheduler, FirstGuest + i, TimeSpan.Zero);
            var client = new GuestClient(this, _world, FirstGuest + i, machine, random.Split($"guest {i}"));
            _guests.Add(client);
            Run(machine, client.Run);
        }
    }

    /// <summary>Judges all that clients were told so far.</summary>
    public void CheckHistory()
    {
        var result = LinearizabilityChecker.Check(
            new UnknownOutcomes(Oracle.WritesOf, Violate).Resolve(Log.SoFar()), Oracle.Ends, maxSteps: 200_000);
        if (!result.Holds)
            _world.Violate($"linearizability: {result.Explanation}");
    }

    /// <summary>An operator forced a new quorum: what clients were told of behind this zxid may never have been.</summary>
    /// <returns>How many writes were acknowledged and are lost.</returns>
    public int QuorumForced(long zxid)
    {
        foreach (var guest in _guests)
            guest.QuorumForced();
        return Log.QuorumForced(zxid);
    }

    /// <summary>A watch of a client that moves between members: no one member's snapshots bear on it.</summary>
    public WatchChecker NewChecker(string who, string path, WatchMode mode) =>
        new(_world, Oracle, who, new WatchTimeline(Oracle, path, mode));

    /// <summary>A process is up: its clients begin.</summary>
    public void Begin(SimulatedProcess process, IZnodeSessions sessions)
    {
        var random = _random.Split($"process {process.Number}");
        for (var i = 0; i < _clientsPerProcess; i++)
        {
            var client = new WorkloadClient(this, ++_clients, process, sessions, random.Split($"client {i}"));
            Run(process, client.Run);
        }
        if (_contend)
            Run(process, () => Contend(process, sessions, random.Split("contender")));
        if (_read)
        {
            var reader = new ReadClient(this, ++_clients, process, _world.Scheduler, sessions.View, random.Split("reads"));
            Run(process, reader.Run);
        }
        if (_sync)
            Run(process, () => Sync(process, sessions, random.Split("syncs")));
    }

    public WatchChecker NewWatch(SimulatedProcess process, string who, string path, WatchMode mode, bool isStream = false)
    {
        var checker = new WatchChecker(_world, Oracle, who, NewTimeline(process, path, mode, isStream));
        _watches.Add(checker);
        return checker;
    }

    public WatchTimeline NewTimeline(SimulatedProcess process, string path, WatchMode mode, bool isStream = false)
    {
        if (!_timelines.TryGetValue(process.Number, out var list))
            _timelines.Add(process.Number, list = []);
        var timeline = new WatchTimeline(Oracle, path, mode, isStream);
        list.Add(timeline);
        return timeline;
    }

    /// <summary>A snapshot replaced a member's state while it was up.</summary>
    public void Jumped(SimulatedProcess process, long from, long to)
    {
        foreach (var timeline in _timelines.GetValueOrDefault(process.Number) ?? [])
            timeline.Jumped(from, to);
    }

    private void Run(SimulatedProcess process, Func<Task> client) => process.Context.Run(() => _ = Guard(client));

    /// <summary>What ExpireOnRefusedConnection allows: these believe in leases of sessions that have ended.</summary>
    private readonly HashSet<SimulatedProcess> _refusedWithLease = [];

    private async Task Guard(Func<Task> client)
    {
        try
        {
            await client();
        }
        catch (Exception failure)
        {
            _world.Violate($"client code failed: {failure}");
        }
    }

    private async Task Contend(SimulatedProcess process, IZnodeSessions sessions, SimulatedRandom random)
    {
        var source = new ZnodeSessionSource(sessions, random.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(4)));
        var election = new LeaderElection(source, "/election", new LeaderElectionOptions { TimeProvider = process.Time });
        while (!Stopped)
        {
            var leadership = await election.WaitForLeadershipAsync();
            if (leadership.IsHeld)
                Granted(process, leadership);
            var until = process.Time.Monotonic + random.Between(TimeSpan.FromMilliseconds(50), TimeSpan.FromSeconds(2));
            while (leadership.IsHeld && process.Time.Monotonic < until)
                await Task.Delay(TimeSpan.FromMilliseconds(20), process.Time);
            _leaderships.RemoveAll(l => l.Leadership == leadership);
            await leadership.DisposeAsync();
            await Task.Delay(random.Between(TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(300)), process.Time);
        }
    }

    // A client that only syncs: no write of its own ever keeps it from asking a leader that does not know yet that it was deposed.
    private async Task Sync(SimulatedProcess process, IZnodeSessions sessions, SimulatedRandom random)
    {
        IZnodeSession? session = null;
        while (!Stopped)
        {
            try
            {
                session = session is null or { State: SessionState.Expired } ? sessions.Open() : session;
                var acknowledged = HighestAcknowledged;
                var synced = await session.SyncAsync();
                if (synced < acknowledged)
                    Violate(15,
                        $"a client of process {process.Number} synced up to {synced:x}, though {acknowledged:x} was acknowledged before");
            }
            catch (Exception refused) when (refused is NotAppliedException or OutcomeUnknownException or SessionExpiredException)
            {
                // It asks again.
            }
            await Task.Delay(random.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(30)) * Pace, process.Time);
        }
        if (session is not null)
            await session.DisposeAsync();
    }

    // A holder that is killed takes its leadership along; one that is paused must find it gone when it resumes.
    private void Granted(SimulatedProcess process, Leadership leadership)
    {
        if (process.IsAside)
            return;
        Elections++;
        _world.Trace.Event(
            MemberId.None, $"process {process.Number} was granted leadership with token {leadership.FencingToken} by {leadership.Path}");
        _leaderships.RemoveAll(l => !l.Process.IsAlive);
        foreach (var (other, held) in _leaderships)
        {
            // Seed 119 of 60 s: as its session, so the leadership that rests on it; the token tells.
            if (held.IsHeld && !other.IsAside && !_refusedWithLease.Contains(other))
                Violate(16,
                    $"process {process.Number} leads with token {leadership.FencingToken}, while process {other.Number} holds token {held.FencingToken}");
        }
        if (leadership.FencingToken.Value <= _highestToken)
            Violate(16, $"process {process.Number} was given token {leadership.FencingToken}, and {_highestToken} was given before");
        _highestToken = Math.Max(_highestToken, leadership.FencingToken.Value);
        _leaderships.Add((process, leadership));
    }
}
