using RaftKit.Consensus;

namespace RaftKit.Node.Liveness;

/// <summary>
/// Who was heard when, as the leader judges it (DESIGN, promise 5): sessions now, brokers later. Pure: time is passed in, and what is to be
/// proposed comes out of <see cref="Advance"/>. It lives while this member leads and is ready, and starts anew with each leadership.
/// <para>Its time moves at ticks only and leaves out their lateness, so that this process's own pauses count as nobody's silence. A contact
/// heard between two ticks is given its whole timeout from the second one: never too early, at most a tick too late.</para>
/// </summary>
internal sealed class ContactTracker<TId>
    where TId : notnull
{
    private readonly Dictionary<TId, Contact> _contacts = [];
    private readonly Dictionary<MemberId, TimeSpan> _members = [];
    private readonly PriorityQueue<Contact, TimeSpan> _due = new();
    private readonly List<Contact> _fresh = [];
    private readonly List<Contact> _again = [];
    private TimeSpan _time;
    private TimeSpan _now;

    public int Count => _contacts.Count;

    /// <summary>A leadership begins: forgets everything of an earlier one.</summary>
    public void Begin(TimeSpan now)
    {
        _contacts.Clear();
        _members.Clear();
        _due.Clear();
        _fresh.Clear();
        _time = TimeSpan.Zero;
        _now = now;
    }

    /// <summary>
    /// Takes over a contact with what the log says of its silence. It has the rest of its timeout, but a grace (a quarter) at the least: a
    /// live one reaches a new leader within that, a dead one ends with the first leader that lasts as long.
    /// </summary>
    public void TakeOver(TId id, ContactTerms terms, ContactSilence logged)
    {
        var contact = Add(id, terms);
        contact.Logged = contact.Proposed = logged;
        contact.Extended = logged.Extended;
        var rest = terms.Timeout - logged.Spent;
        var grace = terms.Timeout / 4;
        contact.Deadline = _time + (rest > grace ? rest : grace);
        Queue(contact);
    }

    /// <summary>A new contact: heard just now.</summary>
    public void Track(TId id, ContactTerms terms) => Refresh(Add(id, terms));

    public void Forget(TId id)
    {
        if (_contacts.Remove(id, out var contact))
            contact.Gone = true;
    }

    /// <summary>
    /// A contact was heard. Its deadline moves at once; whether it may be told so is <see cref="MayAnswer"/>, asked again when a quorum
    /// has confirmed this leader.
    /// </summary>
    public ContactVerdict Heard(TId id)
    {
        if (!_contacts.TryGetValue(id, out var contact))
            return ContactVerdict.Unknown;
        if (contact.Condemned)
            return ContactVerdict.Condemned;
        Refresh(contact);
        return contact.IsClean ? ContactVerdict.Known : contact.ResetUnderWay ? ContactVerdict.Resetting : ContactVerdict.NeedsReset;
    }

    /// <summary>
    /// Whether an answer may promise this contact its whole timeout. Not from the proposal of its end on; and not while the log, or a
    /// checkpoint on its way there, says that part of the timeout is spent: the next leader would go by that.
    /// </summary>
    public bool MayAnswer(TId id) => _contacts.TryGetValue(id, out var contact) && !contact.Condemned && contact.IsClean;

    /// <summary>Whether its end is proposed.</summary>
    public bool IsCondemned(TId id) => _contacts.TryGetValue(id, out var contact) && contact.Condemned;

    /// <summary>A member was heard, whatever it said: what is attached through it is not silent because of it.</summary>
    public void MemberHeard(MemberId member) => _members[member] = _time;

    /// <summary>
    /// The link to a member broke: what is attached through it and can move gets one whole timeout to re-attach elsewhere.
    /// </summary>
    public void MemberLost(MemberId member)
    {
        var extended = false;
        foreach (var contact in _contacts.Values)
            extended |= contact.Terms.Via == member && !contact.Condemned && TryExtend(contact);
        if (!extended)
            return;
        // The log is to hear of it with the next tick, sooner than these are queued for.
        _due.Clear();
        foreach (var contact in _contacts.Values)
        {
            if (!contact.Queued)
                continue;
            contact.Queued = false;
            Queue(contact);
        }
    }

    /// <summary>Attached through another member now, by a command in the log.</summary>
    public void Moved(TId id, MemberId via)
    {
        if (!_contacts.TryGetValue(id, out var contact))
            return;
        contact.Terms = contact.Terms with { Via = via };
        Active(id);
    }

    /// <summary>A command of the contact was applied: it lives, and the log says so.</summary>
    public void Active(TId id)
    {
        if (!_contacts.TryGetValue(id, out var contact))
            return;
        contact.Logged = default;
        if (!contact.Condemned)
            Refresh(contact);
    }

    /// <summary>Its end was proposed: from now on it is not answered, until the proposal is applied or voided.</summary>
    public void Condemn(TId id)
    {
        if (_contacts.TryGetValue(id, out var contact))
            contact.Condemned = true;
    }

    /// <summary>The proposed end was voided by what the log holds: contact starts fresh.</summary>
    public void Pardon(TId id)
    {
        if (!_contacts.TryGetValue(id, out var contact))
            return;
        contact.Condemned = false;
        Refresh(contact);
    }

    /// <summary>A checkpoint was appended to this leader's log.</summary>
    public void CheckpointProposed(TId id, ContactSilence silence)
    {
        if (!_contacts.TryGetValue(id, out var contact))
            return;
        contact.UnderWay++;
        contact.Proposed = silence;
    }

    /// <summary>A checkpoint of this leader's was applied, and the log now says <paramref name="logged"/>.</summary>
    public void CheckpointApplied(TId id, ContactSilence logged)
    {
        if (!_contacts.TryGetValue(id, out var contact))
            return;
        contact.UnderWay--;
        contact.Logged = logged;
        Invariant.Holds(contact.UnderWay >= 0, $"contact {id} had {contact.UnderWay} checkpoints under way");
    }

    /// <summary>
    /// A tick passed and everything that arrived before it was handled. Says whose time ran out and whose silence is to be logged; what is
    /// not then condemned or proposed comes again with the next tick.
    /// </summary>
    /// <param name="now">The monotonic time, suspended time included.</param>
    /// <param name="lateness">How late the tick came: nobody's silence.</param>
    /// <param name="overdue">Takes those whose time ran out.</param>
    /// <param name="checkpoints">Takes those whose silence is to be logged.</param>
    public void Advance(TimeSpan now, TimeSpan lateness, List<TId> overdue, List<ContactCheckpoint<TId>> checkpoints)
    {
        var passed = now - _now - lateness;
        _now = now;
        if (passed > TimeSpan.Zero)
            _time += passed;

        foreach (var contact in _fresh)
        {
            contact.Fresh = false;
            if (contact.Gone)
                continue;
            contact.Deadline = _time + contact.Terms.Timeout;
            if (!contact.Queued)
                Queue(contact);
        }
        _fresh.Clear();

        while (_due.TryPeek(out var next, out var at) && at <= _time)
        {
            _due.Dequeue();
            next.Queued = false;
            Judge(next, overdue, checkpoints);
        }
        foreach (var contact in _again)
            Queue(contact, _time);
        _again.Clear();
    }

    private void Judge(Contact contact, List<TId> overdue, List<ContactCheckpoint<TId>> checkpoints)
    {
        // A condemned contact is queued again by the pardon's refresh; one that is gone never is.
        if (contact.Gone || contact.Condemned)
            return;
        if (contact.Deadline <= _time && !(IsSilent(contact) && TryExtend(contact)))
        {
            overdue.Add(contact.Id);
            _again.Add(contact);
        }
        else if (CheckpointAt(contact) <= _time)
        {
            checkpoints.Add(new ContactCheckpoint<TId>(contact.Id, new ContactSilence(Spent(contact), contact.Extended)));
            _again.Add(contact);
        }
        else
        {
            Queue(contact);
        }
    }

    /// <summary>Nothing came from the member it is attached through for longer than a live one ever waits (a third of a timeout).</summary>
    private bool IsSilent(Contact contact) =>
        !_members.TryGetValue(contact.Terms.Via, out var heard) || _time - heard > contact.Terms.Timeout / 2;

    private bool TryExtend(Contact contact)
    {
        if (contact.Extended || !contact.Terms.MayMove)
            return false;
        contact.Extended = true;
        contact.Deadline = _time + contact.Terms.Timeout;
        return true;
    }

    private TimeSpan Spent(Contact contact)
    {
        var spent = contact.Terms.Timeout - (contact.Deadline - _time);
        return spent > TimeSpan.Zero ? spent : TimeSpan.Zero;
    }

    /// <summary>A quarter after the last checkpoint; at once when the log does not know yet that the one extension was given.</summary>
    private static TimeSpan CheckpointAt(Contact contact)
    {
        if (contact.Extended != contact.Proposed.Extended)
            return TimeSpan.MinValue;
        var spent = contact.Proposed.Spent + (contact.Terms.Timeout / 4);
        return contact.Deadline - contact.Terms.Timeout + spent;
    }

    private Contact Add(TId id, ContactTerms terms)
    {
        Invariant.Holds(terms.Timeout > TimeSpan.Zero, $"contact {id} has a timeout of {terms.Timeout}");
        Forget(id);
        var contact = new Contact(id, terms);
        _contacts.Add(id, contact);
        return contact;
    }

    private void Refresh(Contact contact)
    {
        contact.Extended = false;
        // What was proposed before stays in the log until a reset is: IsClean knows. The next quarter counts from zero again.
        if (contact.UnderWay == 0 && contact.Logged == default)
            contact.Proposed = default;
        if (contact.Fresh)
            return;
        contact.Fresh = true;
        contact.Deadline = TimeSpan.MaxValue;
        _fresh.Add(contact);
    }

    private void Queue(Contact contact)
    {
        var checkpoint = CheckpointAt(contact);
        Queue(contact, checkpoint < contact.Deadline ? checkpoint : contact.Deadline);
    }

    private void Queue(Contact contact, TimeSpan at)
    {
        Invariant.Holds(!contact.Queued, $"contact {contact.Id} was queued twice");
        contact.Queued = true;
        _due.Enqueue(contact, at);
    }

    private sealed class Contact(TId id, ContactTerms terms)
    {
        public TId Id { get; } = id;

        public ContactTerms Terms { get; set; } = terms;

        public TimeSpan Deadline { get; set; }

        /// <summary>Heard since the last tick; its deadline is set by the next.</summary>
        public bool Fresh { get; set; }

        public bool Queued { get; set; }

        public bool Gone { get; set; }

        public bool Condemned { get; set; }

        /// <summary>Had its one whole timeout for a member that was lost.</summary>
        public bool Extended { get; set; }

        /// <summary>What the applied log says.</summary>
        public ContactSilence Logged { get; set; }

        /// <summary>What the last proposed checkpoint says.</summary>
        public ContactSilence Proposed { get; set; }

        /// <summary>Checkpoints proposed and not yet applied.</summary>
        public int UnderWay { get; set; }

        public bool IsClean => UnderWay == 0 && Logged == default;

        public bool ResetUnderWay => UnderWay > 0 && Proposed == default;
    }
}

/// <summary>What is fixed about a contact.</summary>
/// <param name="Timeout">How long its silence is borne.</param>
/// <param name="Via">The member that it is attached through.</param>
/// <param name="MayMove">Whether it can re-attach through another member; a host's own session cannot.</param>
internal readonly record struct ContactTerms(TimeSpan Timeout, MemberId Via, bool MayMove);

/// <summary>What is logged of a contact's silence; default: none.</summary>
/// <param name="Spent">How much of its timeout is spent.</param>
/// <param name="Extended">It had its one whole timeout because its member was lost.</param>
internal readonly record struct ContactSilence(TimeSpan Spent, bool Extended);

/// <summary>A contact's silence, to be logged.</summary>
internal readonly record struct ContactCheckpoint<TId>(TId Id, ContactSilence Silence);

/// <summary>What a leader makes of a contact that it heard.</summary>
internal enum ContactVerdict
{
    /// <summary>There is no such contact.</summary>
    Unknown,

    /// <summary>It may be answered once a quorum has confirmed this leader.</summary>
    Known,

    /// <summary>The log says that it was silent: log that it was heard, before it is answered.</summary>
    NeedsReset,

    /// <summary>As <see cref="NeedsReset"/>, and that is under way.</summary>
    Resetting,

    /// <summary>Its end is proposed.</summary>
    Condemned,
}
