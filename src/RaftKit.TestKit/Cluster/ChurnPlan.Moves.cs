using RaftKit.Consensus;
using RaftKit.Node.Members;

namespace RaftKit.TestKit;

/// <summary>
/// Members move: everybody is told where one will listen, and it starts there. Nobody else's configuration is changed for it, as an
/// operator would leave it.
/// </summary>
internal sealed partial class ChurnPlan
{
    private readonly SimulatedRandom _moves = world.Random.Split("who moves");

    /// <summary>Who listens elsewhere now, and behind which entry that was known.</summary>
    private readonly Dictionary<MemberId, LogIndex> _moved = [];

    private void MoveLater(TimeSpan after) => world.Scheduler.After(after, () =>
    {
        if (faults.IsHealed)
            return;
        var members = Idle?.All.Select(id => world[id]).ToList() ?? [];
        // One after another, each where the others look for it, and linked again, before the next one goes.
        if (members.Count < 2 || IsHeld || Stray() is not null || !members.All(m => m is { Damage: DiskDamage.None, Disk.Failing: null, Run: { HasStarted: true, Process.IsPaused: false } }
            && !m.Loop!.Status.Leader.IsNone))
        {
            MoveLater(TimeSpan.FromMilliseconds(20));
            return;
        }
        var (asker, mover) = (_moves.Pick(members), _moves.Pick(members));
        var (host, port) = (mover.Endpoint[..mover.Endpoint.IndexOf(':')], int.Parse(mover.Endpoint[(mover.Endpoint.IndexOf(':') + 1)..]));
        var endpoint = $"{host}:{port + 1}";
        Ask(asker, "move", $"asks to move {mover.Id} to {endpoint}", () => Door(asker).MoveAsync(mover.Id.Value, endpoint), then: () =>
        {
            mover.Endpoint = endpoint;
            _moved[mover.Id] = asker.Loop?.Core?.Applied ?? LogIndex.Zero;
            if (faults.IsHealed)
                return;
            // Now and then all start at once: none may know how far the log is committed that says where the others are.
            var all = _moves.Chance(0.5);
            foreach (var struck in members.Where(m => m.IsUp && (all || m == mover)))
                faults.Strike(struck, _moves.Chance(0.3));
        });
        MoveLater(_moves.Between(TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(4)));
    });

    /// <summary>
    /// What was asked for may be given up with a lost quorum, or be committed though nobody was told: operators read the warning, and say
    /// where the member is.
    /// </summary>
    private void SayWhereTheyAre(SimulatedMember newest)
    {
        foreach (var (id, index) in _moved.ToList())
        {
            if (world[id].Run is { HasStarted: true, Loop.Core: { } core } run && run.Transport.Endpoint == world[id].Endpoint && core.Commit > index)
            {
                world.Faults.Coverage.Struck(MenuItem.MemberMoved);
                _moved.Remove(id);
            }
        }
        if (IsHeld || newest.Run is not { HasStarted: true, Process.IsPaused: false } || (_asked is { IsCompleted: false } && world.Scheduler.Now - _askedAt <= Patience))
            return;
        if (Stray() is { } stray)
        {
            var endpoint = world[new MemberId(stray.Id)].Endpoint;
            Ask(newest, "move", $"says that {stray.Id} is at {endpoint}, and not at {stray.Endpoint}", () => Door(newest).MoveAsync(stray.Id, endpoint));
        }
    }

    private QuorumMember? Stray() =>
        Newest()?.Members.FirstOrDefault(m => m.Endpoint.Length > 0 && m.Endpoint != world[new MemberId(m.Id)].Endpoint);
}
