namespace RaftKit.Consensus;

/// <summary>
/// Holds what is committed, and has no say in it: asks one member at a time, its source, to be fed, and goes on with another when that one
/// is silent, behind, or knows of no leader. Its log holds committed entries only (see <see cref="ObserverFeed"/>), so nothing in it is
/// ever cut, and the next source goes on where the last one stopped.
/// </summary>
internal sealed class ObserverRole(RaftCore core) : Role(core)
{
    private readonly SourceChoice _choice = new(core);
    private bool _asksNow = true;
    private bool _begins;
    private bool _lostSome;
    private LogIndex? _acknowledge;
    private int _sinceAsked;
    private int _sinceHeard;
    private int _sinceProgress;

    public override RaftRole Kind => RaftRole.Observer;

    /// <summary>The member that feeds it; nobody while it knows of no member.</summary>
    public MemberId Source { get; private set; }

    public override void Step(Message message)
    {
        switch (message)
        {
            case ObserveReply { Diverged: true } reply:
                Core.Effects.Diverged =
                    $"its last entry, {Core.LastIndex}, is of term {Core.LastTerm}, where member {reply.From} has another one committed";
                break;
            case ObserveReply { IsProbe: true } reply:
                RaiseTerm(reply.Term);
                _choice.Probed(reply);
                break;
            case ObserveReply reply when reply.From == Source:
                Hear(reply);
                _choice.Heard(reply);
                // Of an older term it would be nobody's leader any more.
                if (reply.Term == Core.Term)
                    Core.SetLeader(reply.Leader);
                break;
            case AppendRequest append when append.From == Source:
                Hear(append);
                Append(append);
                break;
            case SnapshotChunk chunk when chunk.From == Source:
                Hear(chunk);
                _sinceProgress = 0;
                Core.Snapshots.Receive(chunk);
                break;
            case ReadIndexReply reply when reply.From == Core.Leader:
                Core.RemoteReads.Answer(reply);
                break;
            default:
                // Votes, heartbeats, the word to campaign: whoever sends these takes it for somebody else.
                break;
        }
    }

    public override void Tick()
    {
        Core.RemoteReads.Tick();
        _choice.Tick();
        _sinceHeard++;
        _sinceAsked++;
        _sinceProgress = _choice.SourceCommit > Core.Commit && !Core.Snapshots.IsInstalling ? _sinceProgress + 1 : 0;
        if (_sinceHeard == 2 * Core.Options.ElectionTicks)
            Core.SetLeader(MemberId.None);
        bool isSilent = _sinceHeard >= Core.Options.ElectionTicks && _sinceHeard % Core.Options.ElectionTicks == 0;
        // Alive and ahead, and yet nothing comes of it.
        bool isStuck = _sinceProgress >= 4 * Core.Options.ElectionTicks;
        if (Source.IsNone || isSilent || isStuck)
            MoveOn(failed: Source);
        else if (_choice.Better(Source) is { IsNone: false } better)
            MoveTo(better);
        _asksNow |= _sinceAsked >= Core.Options.HeartbeatTicks;
    }

    public override void ReadIndex(ulong token, bool byLease) => AskLeader(token, byLease);

    public override void PeerReachable(MemberId member)
    {
        _choice.Reachable(member);
        if (member == Source)
            _asksNow = _begins = true;
        else if (!_choice.HasAnswered(Source))
            MoveTo(member);
    }

    public override void PeerUnreachable(MemberId member)
    {
        if (member == Core.Leader)
            Core.RemoteReads.RefuseAll();
        _choice.Failed(member);
        if (member == Source)
            MoveOn(failed: member);
    }

    public override void PeerDied(MemberId member)
    {
        if (member == Core.Leader)
            Core.SetLeader(MemberId.None);
        PeerUnreachable(member);
    }

    public override void EndTurn()
    {
        Core.RemoteReads.EndTurn();
        if (_choice.TakeProbe(Source) is { IsNone: false } probed)
            Ask(probed, isProbe: true);
        if (_asksNow && !Source.IsNone)
        {
            Ask(Source, isProbe: false);
            (_asksNow, _begins, _lostSome, _sinceAsked) = (false, false, false, 0);
        }
        else if (_acknowledge is { } index)
        {
            // Makes room in the source's window, and promises nothing: nobody counts it.
            Core.Effects.Messages.Add(new AppendReply { From = Core.Self, To = Source, Term = Core.Term, Accepted = true, Index = index });
        }
        _acknowledge = null;
    }

    private void Ask(MemberId member, bool isProbe) => Core.Effects.Messages.Add(new ObserveRequest
    {
        From = Core.Self, To = member, Term = Core.Term, LastIndex = Core.LastIndex, LastTerm = Core.LastTerm,
        Again = !isProbe && (_begins || _lostSome), IsProbe = isProbe, IsInstalling = Core.Snapshots.IsInstalling,
    });

    private void Hear(Message message)
    {
        _sinceHeard = 0;
        RaiseTerm(message.Term);
    }

    private void RaiseTerm(Term term)
    {
        if (term <= Core.Term)
            return;
        Core.TakeTerm(term);
        Core.SetLeader(MemberId.None);
    }

    private void MoveOn(MemberId failed)
    {
        _choice.Failed(failed);
        MoveTo(_choice.Next(failed));
    }

    private void MoveTo(MemberId source)
    {
        _sinceProgress = 0;
        _asksNow = true;
        if (source == Source)
            return;
        Source = source;
        (_begins, _lostSome) = (true, false);
        _acknowledge = null;
        _choice.Began();
        // What is on its way from the one before is not waited for; it repeats nothing either, since it would stand at the same places.
        Core.Effects.StatusChanged = true;
    }

    private void Append(AppendRequest append)
    {
        if (Core.Snapshots.IsInstalling || !append.IsWellFormed)
            return;
        LogIndex lastSent = append.PreviousIndex + append.Entries.Count;
        // A feed sends what is committed, nothing else. This would be a leader's append to a member, and could still be overwritten.
        if (lastSent > append.Commit)
            return;
        if (append.PreviousIndex > Core.LastIndex)
        {
            // What came before it was lost. Asked again once for each round trip, not for each message behind the gap.
            _asksNow |= !_lostSome;
            _lostSome = true;
            return;
        }
        if (Core.Log.TermAt(append.PreviousIndex) is { } held && held != append.PreviousTerm)
        {
            Core.Effects.Diverged =
                $"entry {append.PreviousIndex} is of term {held} in its log, where member {append.From} has one of term {append.PreviousTerm} committed";
            return;
        }
        foreach (var entry in append.Entries)
        {
            if (entry.Index <= Core.LastIndex)
                continue;
            Core.AppendToLog(entry);
            _sinceProgress = 0;
        }
        Core.CommitTo(Core.LastIndex);
        _acknowledge = Core.LastIndex;
    }
}
