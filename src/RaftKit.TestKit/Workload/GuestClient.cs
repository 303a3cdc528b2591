using System.Globalization;
using System.Text;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Znodes;
using RaftKit.Znodes.Sessions;

namespace RaftKit.TestKit;

/// <summary>
/// A client on a machine of its own, connected through one member after the other: it loses connections, falls silent, shows wrong
/// passwords, and takes its session up elsewhere. Whatever it is told must fit the one history, over all its connections.
/// </summary>
internal sealed class GuestClient(Workload workload, SimulatedWorld world, int number, SimulatedProcess machine, SimulatedRandom random)
{
    private readonly TimeSpan _timeout = random.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(4));
    private readonly TimeSpan _patience = random.Between(TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(700));
    private readonly ReadOnlyMemory<byte> _password = Enumerable.Range(0, SessionCommand.PasswordLength).Select(
        _ => (byte)random.Next(256)).ToArray();
    private GuestSession? _guest;
    private SimulatedProcess? _through;
    private WatchChecker? _events;
    private long _id;
    private long _lastZxid;
    private long _heardZxid;
    private int _heardOfZxid;
    private int _written;
    private int _read;
    private int _checkedVersions;
    private int _newestApplied;
    private long _heardBefore;
    private bool _silent;
    private bool _lacksOwn;

    private string Who => $"guest {number} (session {_id:x})";

    /// <summary>A register that nobody else writes: what it reads there never goes back.</summary>
    private string Own => $"/guest-{number}";

    public async Task Run()
    {
        while (!workload.Stopped)
        {
            await Pause(30);
            try
            {
                if (await Connect() is { } znodes)
                    await Live(znodes);
            }
            catch (SessionExpiredException told) when (_through is not { IsAside: true })
            {
                Ended(told);
            }
            catch (Exception lost) when (lost is SessionExpiredException or TimeoutException or SessionDetachedException
                or NotAppliedException or OutcomeUnknownException)
            {
                // The connection is lost: on to another member.
            }
            _guest?.Detach();
            _guest = null;
        }
    }

    /// <summary>
    /// A quorum was forced that may not know what this client read and wrote last. Its stream goes on from where it was, and must be told
    /// that it cannot.
    /// </summary>
    public void QuorumForced()
    {
        (_read, _newestApplied, _checkedVersions) = (0, 0, 0);
        // It moves on from whoever goes on beside that quorum, as it would from a member that is silent.
        if (_through is { IsAside: true })
        {
            _guest?.Detach();
            _guest = null;
        }
        if (_events is not null && _heardZxid > 0)
            _heardBefore = _heardZxid;
        _events = null;
        // The entry that created it may be lost with that quorum.
        _lacksOwn = _written > 0 && workload.Oracle.At(Own, long.MaxValue) is not { Exists: true };
    }

    private Task Pause(int milliseconds) =>
        Task.Delay(random.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(milliseconds)) * workload.Pace, machine.Time);

    private async Task<SimulatedZnodes?> Connect()
    {
        var up = world.Everybody.Where(m => m.Run is { HasStarted: true, Process.IsAside: false }).ToList();
        if (up.Count == 0)
            return null;
        var run = random.Pick(up).Run!;
        _through = run.Process;
        var znodes = (SimulatedZnodes)run.Application;
        using var limit = new CancellationTokenSource();
        if (_id != 0 && random.Chance(0.1))
            await ShowWrongPassword(znodes);
        var connecting = _id == 0
            ? znodes.Guests.OpenAsync(_timeout, _password, limit.Token)
            : znodes.Guests.TakeUpAsync(_id, _password, _lastZxid, limit.Token);
        try
        {
            _guest = await connecting.WaitAsync(_patience, machine.Time);
        }
        catch
        {
            limit.Cancel();
            throw;
        }
        if (_through.IsAside)
            throw new TimeoutException();
        if (_id != 0 && _guest.Id != _id)
            workload.Violate(21, $"{Who} took its session up and was given {_guest.Id:x}");
        if (_id == 0)
            (_id, _lastZxid, _heardZxid, _heardBefore, _events) = (_guest.Id, 0, 0, 0, null);
        workload.Opened(run.Process, _guest.Session, isGuest: true);
        workload.GuestConnections++;
        return znodes;
    }

    private async Task ShowWrongPassword(SimulatedZnodes znodes)
    {
        var wrong = _password.ToArray();
        wrong[random.Next(wrong.Length)] ^= 0x40;
        try
        {
            await znodes.Guests.TakeUpAsync(_id, wrong).WaitAsync(_patience, machine.Time);
            workload.Violate(21, $"{Who} was taken up with a wrong password");
        }
        catch (SessionExpiredException)
        {
            // As it must be, whether the session lives or not.
        }
    }

    /// <summary>Its session is said to have ended: then the log ended it (invariant 22), and nothing of it is ever seen again.</summary>
    private void Ended(SessionExpiredException told)
    {
        workload.SessionsSeenExpired++;
        if (_id != 0 && workload.Oracle.IsAlive(_id))
            workload.Violate(22, $"{Who} was told that it has ended, and no log entry ended it: {told.Message}");
        _id = 0;
    }

    private async Task Live(SimulatedZnodes znodes)
    {
        var guest = _guest!;
        _silent = false;
        _ = Ping(guest);
        _ = Listen(guest, znodes.Sessions.View.Zxid);
        if (_written == 0)
            await Write(() => guest.Session.CreateAsync(Own, "0"u8.ToArray()), HistoryKind.Create, Own, "0");
        if (_lacksOwn)
            await CreateOwnAgain(guest.Session);
        while (!workload.Stopped && guest == _guest)
        {
            switch (random.Next(12))
            {
                case < 4:
                    await WriteOwn(guest.Session);
                    break;
                case < 8:
                    await ReadOwn(guest.Session);
                    break;
                case 8:
                    await Write(
                        () => guest.Session.CreateAsync($"/guests-{number}-e", "e"u8.ToArray(), CreateMode.Ephemeral), HistoryKind.Create,
                        $"/guests-{number}-e", "e", guest.Id);
                    break;
                case 9 when random.Chance(0.3):
                    // Cut off in the middle of a write, whose outcome it will not learn.
                    _ = Forget(WriteOwn(guest.Session));
                    return;
                case 10 when random.Chance(0.2):
                    _silent = true;
                    await Task.Delay(random.Between(TimeSpan.Zero, _timeout * 2.5), machine.Time);
                    return;
                case 11 when random.Chance(0.1):
                    await guest.CloseAsync().WaitAsync(_patience, machine.Time);
                    _id = 0;
                    return;
            }
            await Pause(random.Chance(0.1) ? 300 : 30);
        }
    }

    private async Task Ping(GuestSession guest)
    {
        while (guest == _guest && !_silent)
        {
            guest.Touch();
            await Task.Delay(_timeout / 3, machine.Time);
        }
    }

    /// <summary>One stream over all connections: it goes on where the last one was cut, without a gap and without a repetition.</summary>
    private async Task Listen(GuestSession guest, long connectedAt)
    {
        if (_heardBefore > 0)
        {
            await ListenOverBreak(guest);
            return;
        }
        var goesOn = _events is not null && _heardZxid > 0;
        if (!goesOn)
        {
            _events = workload.NewChecker($"{Who}, streaming /", "/", WatchMode.PersistentRecursive);
            _events.Setting(connectedAt);
            // Where an earlier stream ended, before it was compacted, is not where this one goes on if it is cut before its first event
            // (seed 112).
            _heardZxid = 0;
        }
        var (events, skip) = (_events!, goesOn ? _heardOfZxid : 0);
        try
        {
            // One entry may cause several events, of which the first may have been heard before the cut.
            await foreach (var heard in guest.Session.EventsAsync("/", true, goesOn ? _heardZxid - 1 : null))
            {
                if (guest != _guest)
                    return;
                if (skip > 0 && heard.Zxid == _heardZxid)
                {
                    skip--;
                    continue;
                }
                workload.WatchEvents++;
                events.Heard(heard);
                _heardOfZxid = heard.Zxid == _heardZxid ? _heardOfZxid + 1 : 1;
                _heardZxid = heard.Zxid;
            }
        }
        catch (WatchCompactedException compacted)
        {
            if (guest != _guest)
                return;
            workload.Oracle.CheckState(Who, compacted);
            _events = null;
        }
        catch (Exception ended) when (ended is SessionExpiredException or SessionDetachedException or NotAppliedException or OutcomeUnknownException)
        {
            // With its connection.
        }
    }

    /// <summary>
    /// Of what it heard in another recovery epoch, some may never have happened: nothing of this one may be told as if it followed that.
    /// </summary>
    private async Task ListenOverBreak(GuestSession guest)
    {
        try
        {
            await foreach (var heard in guest.Session.EventsAsync("/", true, _heardBefore - 1))
            {
                if (guest != _guest)
                    return;
                if (RecoveryEpoch.FirstZxidOfEpochOf(heard.Zxid) > _heardBefore)
                    workload.Violate(
                        30, $"{Who} streamed up to {_heardBefore:x} before a quorum was forced, and heard {heard} after that as if nothing were lost between them");
            }
        }
        catch (WatchCompactedException compacted)
        {
            if (guest != _guest)
                return;
            workload.Oracle.CheckState(Who, compacted);
            _heardBefore = 0;
        }
        catch (Exception ended) when (ended is SessionExpiredException or SessionDetachedException or NotAppliedException or OutcomeUnknownException)
        {
            // With its connection.
        }
    }

    private async Task CreateOwnAgain(IZnodeSession session)
    {
        var value = $"{++_written}";
        await Write(() => session.CreateAsync(Own, Encoding.UTF8.GetBytes(value)), HistoryKind.Create, Own, value);
        _lacksOwn = false;
    }

    private async Task WriteOwn(IZnodeSession session)
    {
        var value = $"{++_written}";
        var stat = await workload.Log.Record(
            new HistoryOperation { Client = number, Session = _id, Kind = HistoryKind.Set, Path = Own, In = value, ExpectedVersion = -1 },
            () => session.SetAsync(Own, Encoding.UTF8.GetBytes(value)).WaitAsync(_patience, machine.Time),
            (operation, stat) => operation with { Version = stat.Version, Zxid = stat.ModifiedZxid });
        // An answer that comes when the connection is given up already is not heard any more.
        if (session != _guest?.Session)
            return;
        Saw(stat.ModifiedZxid);
        _read = Math.Max(_read, int.Parse(value, CultureInfo.InvariantCulture));
    }

    /// <summary>
    /// Its writes apply in the order in which it made them: one that was cut off never comes after a later one (invariant 36).
    /// </summary>
    private void CheckOwnOrder()
    {
        var versions = workload.Oracle.VersionsOf(Own);
        for (; _checkedVersions < versions.Count; _checkedVersions++)
        {
            var applied = int.Parse(Encoding.UTF8.GetString(versions[_checkedVersions].Data.Span), CultureInfo.InvariantCulture);
            if (applied < _newestApplied)
                workload.Violate(36, $"{Who} wrote {applied} to {Own}, and it was applied after {_newestApplied}, which it wrote later");
            _newestApplied = applied;
        }
    }

    private async Task ReadOwn(IZnodeSession session)
    {
        var read = await session.GetAsync(Own).WaitAsync(_patience, machine.Time);
        if (session != _guest?.Session)
            return;
        workload.Oracle.CheckRead(Who, Own, read, 0);
        if (read is null)
            return;
        Saw(read.Zxid);
        var value = int.Parse(Encoding.UTF8.GetString(read.Data.Span), CultureInfo.InvariantCulture);
        if (value < _read)
            workload.Violate(36, $"{Who} read {value} in {Own}, where {_read} was before");
        _read = value;
    }

    private async Task Write(Func<Task<Znode>> write, HistoryKind kind, string path, string value, long owner = 0)
    {
        var guest = _guest;
        try
        {
            var created = await workload.Log.Record(
                new HistoryOperation { Client = number, Session = _id, Kind = kind, Path = path, In = value, Owner = owner },
                () => write().WaitAsync(_patience, machine.Time),
                (operation, znode) => operation with { Out = znode.Path, Zxid = znode.Stat.CreatedZxid });
            if (guest == _guest)
                Saw(created.Stat.CreatedZxid);
        }
        catch (ZnodeException exists) when (exists.Error == ZnodeError.NodeExists)
        {
            // Created over an earlier connection, whose answer was lost.
        }
    }

    private static async Task Forget(Task write)
    {
        try
        {
            await write;
        }
        catch (Exception lost) when (lost is TimeoutException or ZnodeException or SessionExpiredException or SessionDetachedException
            or NotAppliedException or OutcomeUnknownException)
        {
            // Nobody waits for it.
        }
    }

    private void Saw(long zxid)
    {
        if (zxid < _lastZxid)
            workload.Violate(35, $"{Who} went back from {_lastZxid:x} to {zxid:x}");
        _lastZxid = zxid;
        workload.Acknowledge(zxid);
        CheckOwnOrder();
    }
}
